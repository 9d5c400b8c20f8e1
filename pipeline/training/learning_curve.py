"""Learning curves: how the error falls with the amount of data, and where it will be.

The error of a network falls as a power of the number of training items, error = a * n^-b (Hestness
et al. 2017, arXiv:1712.00409). Fitted as a line in the logarithms, weighted by the noise with which each
pilot was measured; the interval is a parametric bootstrap over that noise and the scatter.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.core.statistics import Interval

MOST_ITEMS = 1e9


@dataclass(frozen=True)
class LearningCurve:
    """fits: float (draws + 1, 2), rows (log a, b); the first is the fit to the pilots themselves."""

    fits: np.ndarray

    def error(self, items: float) -> tuple[float, Interval]:
        """Expected error in [0, 1] with `items` training items, and its 95 % interval."""
        values = np.minimum(np.exp(self.fits[:, 0] - self.fits[:, 1] * np.log(items)), 1.0)
        low, high = np.quantile(values[1:], [0.025, 0.975])
        return float(values[0]), (float(low), float(high))

    def items_for(self, error: float) -> int | None:
        """Training items at which the fitted curve meets `error`; None if it never does.

        A curve so flat that it takes more than MOST_ITEMS counts as never.
        """
        log_a, b = self.fits[0]
        if b <= 0 or error <= 0:
            return None
        log_items = (log_a - np.log(error)) / b
        return int(np.ceil(np.exp(log_items))) if log_items < np.log(MOST_ITEMS) else None


def fit(sizes: np.ndarray, errors: np.ndarray, noise: np.ndarray, *, draws: int, seed: int) -> LearningCurve:
    """sizes: items of each pilot (P,); errors: share wrong in (0, 1] (P,); noise: the standard error
    with which each was measured (P,), for instance sqrt(error * (1 - error) / trials) for a share.
    """
    rng = np.random.default_rng(seed)
    relative = noise / errors
    first = _line(sizes, errors, relative)
    expected = first[0] - first[1] * np.log(sizes)
    # Scatter beyond the noise: of seeds and of which items were drawn.
    residual = np.log(errors) - expected
    scatter = np.sqrt(max(0.0, float(np.mean(residual**2 - relative**2))))
    spread = np.sqrt(scatter**2 + relative**2)
    fits = [first]
    for _ in range(draws):
        redrawn = np.minimum(np.exp(expected + rng.normal(0, spread)), 1.0)
        fits.append(_line(sizes, redrawn, relative))
    return LearningCurve(np.array(fits))


def _line(sizes: np.ndarray, errors: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """(log a, b) by least squares; the standard deviation of log(error) is the relative noise."""
    slope, intercept = np.polyfit(np.log(sizes), np.log(errors), 1, w=1 / relative)
    return np.array([intercept, -slope])
