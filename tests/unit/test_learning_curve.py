"""The forecast: right on curves that are known."""

import numpy as np
import pytest

from pipeline.training import learning_curve

SIZES = np.array([500, 500, 1000, 1000, 2000, 2000, 4000, 4000, 8000, 8000])


def pilots(a: float, b: float, trials: int, rng: np.random.Generator) -> np.ndarray:
    return rng.binomial(trials, a * SIZES**-b) / trials


def noise(errors: np.ndarray, trials: int) -> np.ndarray:
    return np.sqrt(errors * (1 - errors) / trials)


def test_a_power_law_is_found_again() -> None:
    errors = 2.0 * SIZES**-0.5
    curve = learning_curve.fit(SIZES, errors, noise(errors, 10**9), draws=50, seed=0)
    assert curve.error(50_000)[0] == pytest.approx(2.0 * 50_000**-0.5, rel=1e-3)
    assert curve.items_for(0.01) == pytest.approx(40_000, rel=1e-3)


def test_the_interval_holds_the_truth_nearly_always() -> None:
    rng = np.random.default_rng(0)
    truth, held = 2.0 * 50_000**-0.5, []
    for seed in range(60):
        errors = pilots(2.0, 0.5, 5000, rng)
        curve = learning_curve.fit(SIZES, errors, noise(errors, 5000), draws=100, seed=seed)
        low, high = curve.error(50_000)[1]
        held.append(low <= truth <= high)
    assert np.mean(held) >= 0.85


def test_a_curve_that_does_not_fall_never_reaches_the_goal() -> None:
    curve = learning_curve.fit(SIZES, np.full(10, 0.2), np.full(10, 0.005), draws=50, seed=0)
    assert curve.items_for(0.01) is None
    assert curve.error(10**6)[0] == pytest.approx(0.2, rel=0.1)
