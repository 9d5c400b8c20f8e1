"""Whether a model may replace the champion: a decision on the scores of both on the same unseen items.

Three questions, each with its error rate stated:

better      Is it better? One-sided, at most 2.5 % of equally good models are called so.
not worse   Is it worse by less than `margin`? Non-inferiority: the lower end of the 95 % interval of the
            difference must not lie below -margin, so that of models that are worse by the margin or more at
            most 2.5 % pass. Who is neither shown to be better nor shown to be not worse is refused: a test
            that is too small speaks against promotion, not for it.
slices      Is it evidently worse, by more than `slice_margin`, in one part of the items? Here the burden is
            the other way round, since in a small slice nothing can be shown to be not worse: a slice
            is refused when "worse by no more than the margin" is rejected at 5 % after Holm's correction
            over all judged slices, so that at most 5 % of sound models are refused for any of them. What a
            slice would have noticed with 80 % probability is told beside it. Slices with fewer than
            `slice_items_min` items are told, not judged.

Pure: no files, no registry, deterministic given the seed. The tests are in paired_tests.py.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from pipeline.champion.paired_tests import RightWrong, Scores, compare
from pipeline.core.gates import Gate
from pipeline.core.parameters import Register
from pipeline.core.statistics import Interval, holm

BETTER_LEVEL = 0.025  # one-sided, as the lower end of a 95 % interval
SLICES_LEVEL = 0.05  # over all slices together
Outcome = Literal["better", "not worse", "refused"]
POWER_QUANTILE = 0.8416212335729143  # 80 % quantile of the standard normal distribution


@dataclass(frozen=True)
class Slice:
    """One part of the items. p: adjusted for all judged slices; detectable: the loss that would have been
    noticed with 80 % probability; both and the interval None where the slice is not judged."""

    name: str
    items: int
    difference: float
    interval: Interval | None
    p: float | None
    detectable: float | None
    verdict: Literal["holds", "worse", "not judged"]


@dataclass(frozen=True)
class Decision:
    """outcome: what the comparison says; reason: in words, with the figures; difference: mean score of the
    new model less that of the old one; interval: its 95 % interval; p_better: of "not better"."""

    outcome: Outcome
    reason: str
    items: int
    new: float
    old: float
    difference: float
    interval: Interval
    p_better: float
    test: str
    slices: tuple[Slice, ...]
    gates: tuple[Gate, ...]

    @property
    def promotes(self) -> bool:
        return self.outcome != "refused"

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"gates": [gate.as_json() for gate in self.gates]}


def decide(
    new: np.ndarray, old: np.ndarray, slices: Mapping[str, np.ndarray], limits: Register, champion: str
) -> Decision:
    """Compares two models, paired.

    new, old: float64 (N,), finite, larger is better: each model's score of each unseen item
    slices: name -> bool (N,), which items belong to it; they may overlap
    champion: version of the old model, for the gates' names
    """
    found = compare(new, old, draws=limits.draws, seed=limits.seed)
    judged = _judge_slices(new, old, slices, limits)
    worse = [one for one in judged if one.verdict == "worse"]
    interval = found.interval
    figures = (
        f"{found.difference:+.5f} [{interval[0]:+.5f}, {interval[1]:+.5f}] against the champion, version "
        f"{champion}, on {len(new):,} unseen items ({found.name})"
    )
    whole = Gate(
        f"difference_to_champion_{champion}", interval[0], "at least", -limits.margin, "training",
        _why_not(found, interval, len(new), limits.margin), interval,
    )  # fmt: skip
    parts = Gate(
        f"slices_worse_than_champion_{champion}", len(worse), "at most", 0, "data",
        f"the model has lost in {', '.join(one.name for one in worse)}: collect or relabel more of it, then "
        "train again; docs/promotion.md says how to read this.",
    )  # fmt: skip
    outcome: Outcome = "refused"
    if not whole.passed:
        reason = f"{figures}: {whole.remedy}"
    elif worse:
        reason = f"{figures}, but evidently worse in {'; '.join(map(_told, worse))}"
    elif found.p_better <= BETTER_LEVEL:
        outcome, reason = "better", f"better: {figures}, p = {found.p_better:.2g}"
    else:
        outcome, reason = "not worse", f"not worse than the margin of {limits.margin:g}: {figures}"
    return Decision(
        outcome=outcome,
        reason=reason,
        items=len(new),
        new=float(new.mean()),
        old=float(old.mean()),
        difference=found.difference,
        interval=interval,
        p_better=found.p_better,
        test=found.name,
        slices=judged,
        gates=(whole, parts),
    )


def _why_not(found: RightWrong | Scores, interval: Interval, items: int, margin: float) -> str:
    """What a person does when the whole comparison does not hold."""
    if interval[1] < 0:
        return "it is worse; train a better one."
    if found.difference <= -margin:
        return f"it may have lost more than the margin of {margin:g}; train a better one."
    # The interval narrows with the square root of the items.
    needed = items * ((found.difference - interval[0]) / (found.difference + margin)) ** 2
    return (
        f"it could not be shown to be no worse than the margin of {margin:g}; with this difference about "
        f"{needed:,.0f} unseen items would show it. Train a better one, test on more items, or widen "
        "register.margin."
    )


def _told(one: Slice) -> str:
    return f"{one.name} ({one.difference:+.4f} on {one.items:,} items, p = {one.p:.2g} after Holm)"


def _judge_slices(
    new: np.ndarray, old: np.ndarray, slices: Mapping[str, np.ndarray], limits: Register
) -> tuple[Slice, ...]:
    sizes = {name: int(rows.sum()) for name, rows in slices.items()}
    judged = [name for name, items in sizes.items() if items >= limits.slice_items_min]
    found = {
        name: compare(new[slices[name]], old[slices[name]], draws=limits.draws, seed=limits.seed)
        for name in judged
    }
    p_values = np.array([one.p_below(-limits.slice_margin) for one in found.values()])
    adjusted = dict(zip(judged, holm(p_values).tolist(), strict=True))
    return tuple(
        _judged(name, items, found[name], adjusted[name], len(judged), limits.slice_margin)
        if name in found
        else _not_judged(name, items, new, old, slices[name])
        for name, items in sizes.items()
    )


def _judged(name: str, items: int, found: RightWrong | Scores, p: float, slices: int, margin: float) -> Slice:
    verdict: Literal["worse", "holds"] = "worse" if p <= SLICES_LEVEL else "holds"
    detectable = _detectable(found, slices, margin)
    return Slice(name, items, found.difference, found.interval, p, detectable, verdict)


def _detectable(found: RightWrong | Scores, slices: int, margin: float) -> float:
    """The loss that would be noticed with 80 % probability, were no other slice worse: as many standard
    errors below the margin as level and power ask for, here of normal means; the standard error at the
    loss itself depends on the loss, so it is found by going round a few times."""
    from scipy.special import ndtri

    quantile = float(ndtri(1 - SLICES_LEVEL / slices))
    loss = margin
    for _ in range(20):
        loss = min(
            1.0,
            margin
            + quantile * found.standard_error(-margin)
            + POWER_QUANTILE * found.standard_error(-min(loss, 0.999)),
        )
    return loss


def _not_judged(name: str, items: int, new: np.ndarray, old: np.ndarray, rows: np.ndarray) -> Slice:
    difference = float((new[rows] - old[rows]).mean()) if items else 0.0
    return Slice(name, items, difference, None, None, None, "not judged")
