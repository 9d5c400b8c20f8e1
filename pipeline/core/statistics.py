"""Intervals and paired comparisons. Everything here is deterministic given its seed."""

import math
from collections.abc import Callable, Sequence

import numpy as np

Interval = tuple[float, float]
Z95 = 1.959963984540054  # 97.5 % quantile of the standard normal distribution


def wilson_interval(successes: float, trials: int, z: float = Z95) -> Interval:
    """95 % interval of a share (Wilson 1927), right also near 0 and 1; of another level with another z.

    Preferred to a bootstrap for a plain share: with 30 errors in 10,000 it is exact enough, free,
    and does not collapse to a point when there are no errors at all.
    """
    if trials == 0:
        return (0.0, 1.0)
    share = successes / trials
    shrink = 1 + z**2 / trials
    centre = (share + z**2 / (2 * trials)) / shrink
    half = z * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) / shrink
    low = centre - half if successes > 0 else 0.0
    high = centre + half if successes < trials else 1.0
    return (low, high)


def bootstrap_interval(
    statistic: Callable[[np.ndarray], float], units: int, *, draws: int, seed: int
) -> Interval:
    """95 % percentile bootstrap interval (Efron 1979).

    statistic: takes int64 (units,) indices, drawn with replacement, to a figure
    units: how many independent units there are (images, customers)
    """
    rng = np.random.default_rng(seed)
    values = [statistic(rng.integers(0, units, units)) for _ in range(draws)]
    low, high = np.quantile(values, [0.025, 0.975])
    return (float(low), float(high))


def bootstrap_mean_interval(values: np.ndarray, *, draws: int, seed: int) -> Interval:
    """95 % percentile bootstrap interval of the mean of `values`, float (N,), one of each unit."""
    return bootstrap_interval(lambda rows: float(values[rows].mean()), len(values), draws=draws, seed=seed)


def holm(p_values: np.ndarray) -> np.ndarray:
    """p-values of many tests that are looked at together, float64 (N,), corrected (Holm 1979).

    However the tests depend on each other, the chance that any true hypothesis has a corrected value below
    `alpha` is at most `alpha`.
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def paired_difference(new: np.ndarray, old: np.ndarray, *, draws: int, seed: int) -> tuple[float, Interval]:
    """Mean of `new - old` over the same units, and its 95 % bootstrap interval.

    new, old: float (N,), the score of each model on each unit, for instance 1 where it is right
    The resampled mean of differences is drawn as a multinomial over their distinct values, which
    is the same distribution as resampling units and costs draws x values instead of draws x N.
    """
    difference = np.asarray(new, dtype=np.float64) - np.asarray(old, dtype=np.float64)
    values, counts = np.unique(difference, return_counts=True)
    n = difference.size
    rng = np.random.default_rng(seed)
    means = rng.multinomial(n, counts / n, size=draws) @ values / n
    low, high = np.quantile(means, [0.025, 0.975])
    return float(difference.mean()), (float(low), float(high))


def student_interval(values: Sequence[float]) -> tuple[float, Interval]:
    """Mean of a few independent values, for instance one a seed, and its 95 % interval (Student 1908).

    values: two or more; that they are normal is assumed, and cannot be seen from so few
    """
    from scipy.special import stdtrit

    mean = float(np.mean(values))
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = float(stdtrit(len(values) - 1, 0.975)) * error
    return mean, (mean - half, mean + half)


def clustered_mean(
    values: np.ndarray, clusters: np.ndarray, *, draws: int, seed: int
) -> tuple[float, Interval]:
    """Mean of `values`, and its 95 % bootstrap interval over clusters (of several values of one customer).

    values: float (N,); clusters: int (N,), values with the same number are resampled together
    """
    return clustered_means(values[None], clusters, draws=draws, seed=seed)[0]


def clustered_means(
    values: np.ndarray, clusters: np.ndarray, *, draws: int, seed: int
) -> list[tuple[float, Interval]]:
    """The same for each row of `values`, float (M, N): all rows are resampled alike, in one pass."""
    _, place = np.unique(clusters, return_inverse=True)
    sums = np.stack([np.bincount(place, row) for row in values])
    counts = np.bincount(place)
    rng = np.random.default_rng(seed)
    means = np.empty((draws, len(values)))
    for i in range(draws):
        weight = np.bincount(rng.integers(0, len(counts), len(counts)), minlength=len(counts))
        means[i] = sums @ weight / (weight @ counts)
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return [(float(row.mean()), (float(low[i]), float(high[i]))) for i, row in enumerate(np.asarray(values))]


def cluster_robust_mean(values: np.ndarray, clusters: np.ndarray) -> tuple[float, float]:
    """Mean of `values` and its standard error when values of one cluster go together, without draws: the
    linearised ratio of two sums over clusters (Cochran 1977, chapter 6). Of one cluster the error is
    infinite.
    """
    _, place = np.unique(clusters, return_inverse=True)
    sums, counts = np.bincount(place, values), np.bincount(place)
    mean = sums.sum() / counts.sum()
    if len(counts) < 2:
        return float(mean), math.inf
    spread = ((sums - mean * counts) ** 2).sum() * len(counts) / (len(counts) - 1)
    return float(mean), float(math.sqrt(spread) / counts.sum())


def crossed_mean(values: np.ndarray, *, draws: int, seed: int) -> tuple[float, Interval]:
    """Mean of `values` (S, N), of S trainings on the same N items, and its 95 % bootstrap interval.

    Trainings and items are redrawn independently of each other (the pigeonhole bootstrap, Owen 2007,
    arXiv:0712.1111): the interval speaks of other seeds and of other items.
    """
    trainings, items = values.shape
    rng = np.random.default_rng(seed)
    means = np.empty(draws)
    for i in range(draws):
        of_trainings = np.bincount(rng.integers(0, trainings, trainings), minlength=trainings)
        of_items = np.bincount(rng.integers(0, items, items), minlength=items)
        means[i] = of_trainings @ values @ of_items / values.size
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), (float(low), float(high))


def auroc(usual: np.ndarray, planted: np.ndarray) -> tuple[float, Interval]:
    """Probability that a planted outlier scores higher than a usual image, and its 95 % interval.

    usual: float (N,); planted: float (M,). Ties count half (Mann and Whitney 1947); the standard error
    is that of Hanley and McNeil 1982.
    """
    order = np.sort(usual)
    below, to = np.searchsorted(order, planted, "left"), np.searchsorted(order, planted, "right")
    n, m = len(usual), len(planted)
    area = float((below + to).sum() / (2 * n * m))
    of_two_planted, of_two_usual = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (m - 1) * (of_two_planted - area**2) + (n - 1) * (of_two_usual - area**2)
    half = Z95 * math.sqrt(max(variance, 0.0) / (n * m))
    return area, (max(area - half, 0.0), min(area + half, 1.0))
