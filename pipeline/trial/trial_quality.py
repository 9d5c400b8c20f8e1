"""Does a challenger serve clients as well as the champion? A test that may be asked for often.

It looks at stated sizes only: when `feedback_min` clients have been heard of, at twice as many, four times,
and so on. The k-th look (from 0) is at the first of them alone and spends 2.5 % / ((k + 1) (k + 2)) of being
wrong about a challenger that is worse by the margin, 2.5 % over all looks: asking again between two looks, as
often as one likes, changes nothing.

paired  both models have answered the same questions: McNemar's test with Tango's interval, or the paired
        bootstrap (champion/paired_tests.py)
groups  some clients were served by the one, some by the other: Newcombe's interval of the difference of two
        shares (1998, Statistics in Medicine 17:873-890, method 10). A mean score of a client lies in [0, 1],
        so that its variance is at most that of a share: the interval is if anything too wide.

What comes from one client counts as one, his mean score. Pure.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

from pipeline.champion.paired_tests import compare
from pipeline.champion.promotion import BETTER_LEVEL
from pipeline.core.parameters import Register
from pipeline.core.statistics import Z95, Interval, wilson_interval

LOOKS_MAX = 6  # at the last there are 32 times as many clients as at the first
Z_MAX = 40.0  # standard errors; no p-value is told beyond

Outcome = Literal["better", "not worse", "not shown", "too few"]


@dataclass(frozen=True)
class Quality:
    """clients: heard of so far, of each side; needed: for the next look, None after the last. Of the last
    look, and None before the first: counted, the clients that it is about; challenger, champion: mean
    scores; interval: 95 %, of their difference; p_worse: of "worse by the margin or more", which must be at
    most level; test: its name."""

    clients: int
    needed: int | None
    outcome: Outcome
    counted: int | None = None
    challenger: float | None = None
    champion: float | None = None
    difference: float | None = None
    interval: Interval | None = None
    p_worse: float | None = None
    level: float | None = None
    test: str | None = None


class Clients:
    """Scores as they came, of clients in the order of their first ones."""

    def __init__(self) -> None:
        self.began: dict[str, datetime] = {}
        self._scores: list[tuple[str, datetime, tuple[float, ...]]] = []

    def __len__(self) -> int:
        return len(self.began)

    def add(self, client: str, at: datetime, *scores: float) -> None:
        """scores: of one answer, in [0, 1], as many each time; must come in the order of `at`."""
        self.began.setdefault(client, at)
        self._scores.append((client, at, scores))

    def first(self, count: int, until: datetime) -> np.ndarray:
        """float64 (count, scores): means of the first `count` clients, over their answers up to `until`."""
        kept = dict.fromkeys(list(self.began)[:count])
        sums: dict[str, np.ndarray] = {}
        for client, at, scores in self._scores:
            if client in kept and at <= until:
                sums[client] = sums.get(client, 0.0) + np.array([*scores, 1.0])
        found = np.array(list(sums.values()))
        return found[:, :-1] / found[:, -1:]

    def time_of(self, count: int) -> datetime:
        """When the client of that number, from 1, was first heard of."""
        return list(self.began.values())[count - 1]


def paired(clients: Clients, feedback_min: int, limits: Register) -> Quality:
    """clients: with two scores, the challenger's and the champion's."""
    look, count, needed = _look(len(clients), feedback_min)
    if look is None:
        return Quality(len(clients), needed, "too few")
    scores = clients.first(count, clients.time_of(count))
    new, old = scores[:, 0], scores[:, 1]
    found = compare(new, old, draws=limits.draws, seed=limits.seed)
    p_worse = compare(old, new, draws=limits.draws, seed=limits.seed).p_below(limits.margin)
    level = _level(look)
    return Quality(
        len(clients), needed, _outcome(found.p_better, p_worse, level), count, float(new.mean()),
        float(old.mean()), found.difference, found.interval, p_worse, level, found.name,
    )  # fmt: skip


def groups(challenger: Clients, champion: Clients, feedback_min: int, limits: Register) -> Quality:
    """Clients with one score each; nobody should be in both groups."""
    clients = min(len(challenger), len(champion))
    look, count, needed = _look(clients, feedback_min)
    if look is None:
        return Quality(clients, needed, "too few")
    until = max(challenger.time_of(count), champion.time_of(count))
    new, old = (float(group.first(count, until).mean()) for group in (challenger, champion))
    p_better, p_worse = (_p_below(new, old, count, margin) for margin in (0.0, limits.margin))
    low, high = _newcombe(new, old, count, Z95)
    level = _level(look)
    return Quality(
        clients, needed, _outcome(p_better, p_worse, level), count, new, old, new - old, (low, high),
        p_worse, level, "Newcombe's interval",
    )  # fmt: skip


def _look(clients: int, feedback_min: int) -> tuple[int | None, int, int | None]:
    """The last look that can be taken, None before the first; at how many clients; at how many the next."""
    done = [k for k in range(LOOKS_MAX) if clients >= feedback_min * 2**k]
    look = done[-1] if done else None
    next_ = 0 if look is None else look + 1
    needed = feedback_min * 2**next_ if next_ < LOOKS_MAX else None
    return look, 0 if look is None else feedback_min * 2**look, needed


def _level(look: int) -> float:
    return BETTER_LEVEL / ((look + 1) * (look + 2))


def _outcome(p_better: float, p_worse: float, level: float) -> Outcome:
    if p_worse > level:
        return "not shown"
    return "better" if p_better <= level else "not worse"


def _newcombe(new: float, old: float, count: int, z: float) -> Interval:
    """Of new - old, means of `count` values in [0, 1] each, as wide as z says."""
    (low_new, high_new), (low_old, high_old) = (
        wilson_interval(mean * count, count, z) for mean in (new, old)
    )
    below, above = math.hypot(new - low_new, high_old - old), math.hypot(high_new - new, old - low_old)
    return new - old - below, new - old + above


def _p_below(new: float, old: float, count: int, margin: float) -> float:
    """One-sided p-value of "new - old is at most -margin": of the widest interval that leaves it out."""
    from scipy.optimize import brentq
    from scipy.special import ndtr

    def room(z: float) -> float:
        return _newcombe(new, old, count, z)[0] + margin

    if room(0.0) <= 0:
        return 1.0
    return 0.0 if room(Z_MAX) > 0 else float(ndtr(-brentq(room, 0.0, Z_MAX)))
