"""Calibration: how far confidence is from the share right."""

import numpy as np

BINS = 15


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that makes softmax(logits / T) likeliest (Guo et al. 2017, arXiv:1706.04599).

    logits: float32 (N, K) of validation images; labels: int64 (N,). Searched in [0.05, 20].
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    wide = logits.astype(np.float64)
    right = wide[np.arange(len(labels)), labels]

    def loss(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        return float(np.mean(logsumexp(wide * scale, axis=1) - right * scale))

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(found.x))


def reliability(probabilities: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean confidence, share right and count of BINS equal-width bins; float, float, int (BINS,).

    probabilities: float (N, K); right: bool (N,), whether the likeliest class is the true one
    """
    confidence = probabilities.max(1)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    safe = np.maximum(counts, 1)
    return (
        np.bincount(bins, confidence, BINS) / safe,
        np.bincount(bins, right, BINS) / safe,
        counts,
    )


def expected_calibration_error(probabilities: np.ndarray, right: np.ndarray) -> float:
    """Mean distance of confidence and share right over the bins, weighted (Naeini et al. 2015)."""
    confidence, accuracy, counts = reliability(probabilities, right)
    return float(np.sum(counts * np.abs(confidence - accuracy)) / counts.sum())
