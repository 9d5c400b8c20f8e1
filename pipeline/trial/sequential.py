"""Is a share larger than it may be? Asked after every answer, for as long as answers come, and still wrong
in no more than `alpha` of all cases in which it is not.

One window of answers: each is bad or not. If at most a share b is bad, whatever came before, then the
likelihood ratio of a larger share p against b, multiplied over the answers, is a supermartingale that
starts at 1; so is the mean over several p. It ever exceeds 1 / a with a probability of at most a (Ville
1939), however often it is looked at: this is the mixture sequential probability ratio test (Robbins 1970).

What was good for long must not hide what is bad now, so windows slide: one begins every `window` answers
and ends after twice as many. The j-th (from 0) may spend a = alpha / ((j + 1) (j + 2)); over all windows,
without end, that is alpha. A late window needs only a few more bad answers than the first: the logarithm
of j counts.
"""

import math
from dataclasses import dataclass

DOUBLINGS = 10  # the larger shares that are held against the bound: its odds doubled once to ten times


@dataclass
class _Window:
    """limit: log of 1 / a; answers: also those that say nothing; judged, bad: of them."""

    limit: float
    answers: int = 0
    judged: int = 0
    bad: int = 0


class WatchedShare:
    """share_max: in (0, 1); alpha: in (0, 1); window: answers; first: number of the first window, when
    earlier ones were watched by somebody else."""

    def __init__(self, share_max: float, alpha: float, window: int, first: int = 0) -> None:
        odds = [share_max / (1 - share_max) * 2**k for k in range(1, DOUBLINGS + 1)]
        # What a bad and a good answer add to the log likelihood ratio of each larger share.
        self._if_bad = [math.log(one / (1 + one) / share_max) for one in odds]
        self._if_good = [-math.log1p(one) - math.log1p(-share_max) for one in odds]
        self._alpha, self._window, self._next = alpha, window, first
        self._windows: list[_Window] = []

    def add(self, bad: bool | None) -> tuple[int, int] | None:
        """One answer more; None: it says nothing about this share.

        Returns (bad, judged) of a window in which the share is shown to be larger than it may be by this
        answer, None otherwise.
        """
        if not self._windows or self._windows[-1].answers == self._window:
            j, self._next = self._next, self._next + 1
            self._windows.append(_Window(math.log((j + 1) * (j + 2) / self._alpha)))
        exceeded = None
        for window in self._windows:
            window.answers += 1
            window.judged += bad is not None
            window.bad += bool(bad)
            if bad and self._log_ratio(window) > window.limit:
                exceeded = (window.bad, window.judged)
        if self._windows[0].answers == 2 * self._window:
            del self._windows[0]
        return exceeded

    def _log_ratio(self, window: _Window) -> float:
        bad, good = window.bad, window.judged - window.bad
        return _log_mean(
            [bad * one + good * other for one, other in zip(self._if_bad, self._if_good, strict=True)]
        )


def _log_mean(logarithms: list[float]) -> float:
    """Logarithm of the mean of what has these logarithms."""
    top = max(logarithms)
    return top + math.log(sum(math.exp(value - top) for value in logarithms) / len(logarithms))
