"""Two models on the same unseen items: how they differ, how surely, and how surely one is worse.

`RightWrong` is for scores that are 1 (right) or 0 (wrong), `Scores` for any others; both answer the same
questions. Items are taken as independent of each other: a task hands over one score for what belongs
together, for instance the mean over the questions of one customer.
"""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.core.statistics import Z95, Interval

BLOCK = 1_000_000  # items drawn at a time, so that memory does not grow with draws x items


def compare(new: np.ndarray, old: np.ndarray, *, draws: int, seed: int) -> "RightWrong | Scores":
    """new, old: float64 (N,), N > 0, finite: the scores of two models on the same items."""
    if np.isin(new, (0.0, 1.0)).all() and np.isin(old, (0.0, 1.0)).all():
        return RightWrong(len(new), int((new > old).sum()), int((new < old).sum()))
    difference = new - old
    means = _resampled(difference, draws, seed)
    return Scores(means, float(difference.mean()), float(difference.std()), len(difference))


@dataclass(frozen=True)
class RightWrong:
    """items: N; won: items that the new model alone has right; lost: that the old one alone has right."""

    items: int
    won: int
    lost: int

    name = "McNemar's exact test, Tango's interval"

    @property
    def difference(self) -> float:
        return (self.won - self.lost) / self.items

    @property
    def interval(self) -> Interval:
        """95 % score interval of the difference (Tango 1998, Statistics in Medicine 17:891-908).

        Right also where the models hardly differ: with no disagreement at all on N items it is
        about 3.8 / N wide to either side, where a bootstrap collapses to a point.
        """
        from scipy.optimize import brentq

        ends = []
        for z in (Z95, -Z95):
            # z falls from above to below over [-1, 1]; at the very ends the variance is 0.
            low, high = -1 + 1e-12, 1 - 1e-12
            if self._z(low) <= z:
                ends.append(-1.0)
            elif self._z(high) >= z:
                ends.append(1.0)
            else:
                ends.append(float(brentq(lambda bound, z=z: self._z(bound) - z, low, high, xtol=1e-9)))
        return (ends[0], ends[1])

    @property
    def p_better(self) -> float:
        """One-sided exact p-value of "not better" (McNemar 1947): were the models equally good, items on
        which they disagree would be won like tosses of a coin: P(X >= won), X ~ Bin(won + lost, 1/2)."""
        from scipy.special import bdtrc

        return float(bdtrc(self.won - 1, self.won + self.lost, 0.5)) if self.won else 1.0

    def p_below(self, bound: float) -> float:
        """One-sided p-value of "the difference is at least `bound`", by Tango's score test."""
        from scipy.special import ndtr

        return float(ndtr(self._z(bound)))

    def standard_error(self, bound: float) -> float:
        """Of the difference, were it `bound`."""
        return math.sqrt(self._variance(bound)) / self.items

    def _z(self, bound: float) -> float:
        return (self.won - self.lost - self.items * bound) / math.sqrt(self._variance(bound))

    def _variance(self, bound: float) -> float:
        """Of won - lost, at the most likely share of lost items under which the difference is `bound`.

        That share q solves 2N q^2 + B q + C = 0 with B = -won - lost + (2N - won + lost) bound and
        C = -lost bound (1 - bound) (Tango 1998); the variance is N (2q + bound (1 - bound)).
        """
        n = self.items
        b = -self.won - self.lost + (2 * n - self.won + self.lost) * bound
        c = -self.lost * bound * (1 - bound)
        q = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
        return max(n * (2 * q + bound * (1 - bound)), 1e-12)


@dataclass(frozen=True)
class Scores:
    """means: float64 (draws,), of resampled differences; difference: their mean as it is; deviation: the
    standard deviation over items; items: N."""

    means: np.ndarray
    difference: float
    deviation: float
    items: int

    name = "paired bootstrap"

    @property
    def interval(self) -> Interval:
        """95 % percentile bootstrap interval (Efron 1979)."""
        low, high = np.quantile(self.means, [0.025, 0.975])
        return (float(low), float(high))

    @property
    def p_better(self) -> float:
        """One-sided p-value of "not better": the share of resampled means at or below 0; the sample itself
        counts as one draw (Davison and Hinkley 1997, chapter 4)."""
        return float((1 + (self.means <= 0).sum()) / (1 + len(self.means)))

    def p_below(self, bound: float) -> float:
        """One-sided p-value of "the difference is at least `bound`"."""
        return float((1 + (self.means >= bound).sum()) / (1 + len(self.means)))

    def standard_error(self, _: float) -> float:
        """Of the difference, wherever it lies."""
        return self.deviation / math.sqrt(self.items)


def _resampled(difference: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """float64 (draws,): means of `difference` (N,) with its items drawn with replacement."""
    rng, n = np.random.default_rng(seed), len(difference)
    block = max(1, BLOCK // n)
    places = (
        rng.integers(0, n, (min(block, draws - start), n), dtype=np.int32) for start in range(0, draws, block)
    )
    return np.concatenate([difference[drawn].mean(axis=1) for drawn in places])
