"""Recall when the input is broken in ways in which a shop's data does break, a little and a lot.

Each change is made to the questions of some customers of an unseen week, whose answers stay as they are; the
loss is paired: the same customers with sound input.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import pictures
from pipeline.core.gates import Gate
from pipeline.core.statistics import clustered_means
from pipeline.tasks.recommendation.data import inputs
from pipeline.tasks.recommendation.data.counts import Questions
from pipeline.tasks.recommendation.data.histories import Rows
from pipeline.tasks.recommendation.data.network import RankingNetwork
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.state import State
from pipeline.tasks.recommendation.learning import ranking
from pipeline.tasks.recommendation.learning.examples import BATCH, Targets
from pipeline.tasks.recommendation.learning.judging import LONG
from pipeline.tasks.recommendation.parameters import Change, Evaluate, Robustness
from pipeline.tasks.recommendation.testing.week import Week
from pipeline.testing.evaluation import Part


@dataclass(frozen=True)
class Situation:
    """What questions are answered from."""

    state: State
    questions: Questions


Breaking = Callable[[Situation, float, np.random.Generator], Situation]


def _missing_baskets(asked: Situation, share: float, rng: np.random.Generator) -> Situation:
    """Baskets that never reached the history, whichever they are."""
    rows = asked.questions.rows
    longest = int(rows.ordinal.max(initial=0)) + 1
    kept = rng.random((rows.questions, longest)) >= share
    return _with(asked, rows.chosen(kept[rows.question, rows.ordinal]))


def _missing_days(asked: Situation, days: float, _: np.random.Generator) -> Situation:
    """The newest baskets have not come in yet."""
    rows = asked.questions.rows
    return _with(asked, rows.chosen(rows.day < asked.questions.day - days))


def _noise_purchases(asked: Situation, share: float, rng: np.random.Generator) -> Situation:
    """Lines of other people's purchases, or of wrong products: drawn as products sell."""
    rows = asked.questions.rows
    product = np.asarray(rows.product).copy()
    wrong = rng.random(len(product)) < share
    product[wrong] = _as_sold(asked.state, int(wrong.sum()), rng)
    # A product stands in a basket once.
    basket = rows.question * (int(rows.ordinal.max(initial=0)) + 1) + rows.ordinal
    once = np.zeros(len(product), dtype=bool)
    once[np.unique(basket * asked.state.products + product, return_index=True)[1]] = True
    return _with(asked, replace(rows, product=product).chosen(once))


def _shifted_days(asked: Situation, days: float, _: np.random.Generator) -> Situation:
    """The clock is fast: all purchases look so much older."""
    return replace(asked, questions=replace(asked.questions, day=asked.questions.day + int(days)))


def _wrong_basket(asked: Situation, products: float, rng: np.random.Generator) -> Situation:
    """A live basket of so many products that somebody else put in."""
    questions, size = asked.questions, asked.state.products
    question = np.repeat(np.arange(len(questions)), int(products))
    held = np.unique(question * size + _as_sold(asked.state, len(question), rng))
    basket = replace(questions, basket_question=held // size, basket_product=held % size)
    return replace(asked, questions=basket)


def _promotions_unknown(asked: Situation, share: float, rng: np.random.Generator) -> Situation:
    """Displays and mailers of so many products are not known."""
    items = asked.state.items
    lost = rng.random(asked.state.products) < share
    names = ("display", "mailer", "display_before", "mailer_before")
    changed = {name: np.where(lost, np.float32(0), getattr(items, name)) for name in names}
    return replace(asked, state=replace(asked.state, items=replace(items, **changed)))


def _demographics_unknown(asked: Situation, share: float, rng: np.random.Generator) -> Situation:
    """Nothing is known of so many customers but what they bought."""
    catalogue = asked.state.catalogue
    lost = rng.random(len(catalogue.customer_ids)) < share
    demographics = np.where(lost[:, None], 0, catalogue.demographics)
    return replace(asked, state=replace(asked.state, catalogue=replace(catalogue, demographics=demographics)))


CHANGES: Mapping[Change, Breaking] = {
    "missing_baskets": _missing_baskets,
    "missing_days": _missing_days,
    "noise_purchases": _noise_purchases,
    "shifted_days": _shifted_days,
    "wrong_basket": _wrong_basket,
    "promotions_unknown": _promotions_unknown,
    "demographics_unknown": _demographics_unknown,
}


def _with(asked: Situation, rows: Rows) -> Situation:
    return replace(asked, questions=replace(asked.questions, rows=rows))


def _as_sold(state: State, count: int, rng: np.random.Generator) -> np.ndarray:
    """int64 (count,): products drawn by how often they sell."""
    selling = state.items.popularity[:, -1].astype(np.float64)
    return rng.choice(len(selling), count, p=selling / selling.sum())


def measure(week: Week, limits: Evaluate, folder: Path) -> Part:
    """Writes robustness.png."""
    asked: Robustness = limits.robustness
    targets, retrieval = week.some(asked.customers), week.past.retrieval
    sound = Situation(week.state, week.questions(targets.customers))
    found, tried = [_recall(sound, week.ranker, retrieval, targets)], []
    for name, severities in asked.severities.items():
        for severity in severities:
            changed = CHANGES[name](sound, severity, np.random.default_rng(limits.seed))
            found.append(_recall(changed, week.ranker, retrieval, targets))
            tried.append((name, severity))
    values = np.stack(found)
    means = clustered_means(
        np.concatenate([values, values - values[0]]), targets.customers, draws=limits.draws, seed=limits.seed
    )
    before = means[0][0]
    told: list[dict[str, Any]] = [
        {
            "change": "none",
            "severity": 0.0,
            "recall_at_20": before,
            "interval": means[0][1],
            "kept": 1.0,
            "kept_interval": [1.0, 1.0],
        }
    ]
    for i, (name, severity) in enumerate(tried, start=1):
        lost, (low, high) = means[len(values) + i]
        told.append(
            {
                "change": name,
                "severity": severity,
                "recall_at_20": means[i][0],
                "interval": means[i][1],
                "kept": 1 + lost / max(before, 1e-9),
                "kept_interval": [1 + end / max(before, 1e-9) for end in (low, high)],
            }
        )
    _draw(told, folder / "robustness.png")
    gates = tuple(_gate(name, least, told) for name, least in asked.kept_min.items())
    return Part(gates=gates, details={"robustness": told})


def _recall(asked: Situation, ranker: RankingNetwork, retrieval: Retrieval, targets: Targets) -> np.ndarray:
    """At 20, float64 (B,)."""
    found = np.empty(len(asked.questions))
    for start in range(0, len(found), BATCH):
        part = _part(asked.questions, start, min(start + BATCH, len(found)))
        computed = inputs.compute(asked.state, part, retrieval)
        places = ranking.order(ranker.scores(computed), LONG)
        listed = np.take_along_axis(computed.products, places, axis=1)
        for i, products in enumerate(listed, start=start):
            found[i] = np.isin(targets.products[i], products).mean()
    return found


def _part(questions: Questions, start: int, end: int) -> Questions:
    rows = questions.rows
    mine = slice(*np.searchsorted(rows.question, [start, end]))
    columns = (rows.product, rows.day, rows.ordinal, rows.quantity, rows.store)
    held = slice(*np.searchsorted(questions.basket_question, [start, end]))
    return Questions(
        day=questions.day,
        customers=questions.customers[start:end],
        rows=Rows(end - start, rows.question[mine] - start, *(column[mine] for column in columns)),
        stores=questions.stores[start:end],
        basket_question=questions.basket_question[held] - start,
        basket_product=questions.basket_product[held],
    )


def _gate(name: str, least: float, told: list[dict[str, Any]]) -> Gate:
    """Of the mildest severity; it fails when the upper end of the interval lies below, so not by chance."""
    mildest = next(row for row in told if row["change"] == name)
    low, high = mildest["kept_interval"]
    return Gate(
        f"recall_kept_high_{name}", high, "at least", least, "training",
        f"{name} of {mildest['severity']:g} costs too much; train with such questions too (train.examples), "
        "or guard the data against it.", (low, high),
    )  # fmt: skip


def _draw(told: list[dict[str, Any]], path: Path) -> None:
    names = list(dict.fromkeys(row["change"] for row in told[1:]))
    fig = pictures.figure(2.1 * min(4, len(names)) + 0.6, 2.3 * -(-len(names) // 4))
    axes = fig.subplots(-(-len(names) // 4), min(4, len(names)), sharey=True, squeeze=False).ravel()
    for ax, name in zip(axes, names, strict=False):
        rows = [told[0], *(row for row in told if row["change"] == name)]
        low, high = np.array([row["interval"] for row in rows]).T
        place = range(len(rows))
        ax.fill_between(place, low, high, color=pictures.ACCENT, alpha=0.15)
        ax.plot(place, [row["recall_at_20"] for row in rows], "o-", color=pictures.ACCENT, ms=4)
        ax.set_xticks(place, [f"{row['severity']:g}" for row in rows], fontsize=8)
        ax.set_title(name.replace("_", " "), fontsize=9)
        ax.set_ylim(bottom=0)
        ax.grid(alpha=0.3)
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    fig.supylabel("recall at 20", fontsize=9)
    fig.savefig(path)
