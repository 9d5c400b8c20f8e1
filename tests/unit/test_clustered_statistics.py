"""Figures of customers who are asked about several times."""

import math

import numpy as np
import pytest

from pipeline.core.statistics import Z95, cluster_robust_mean, clustered_mean, clustered_means


def several(clusters: int = 200, each: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Values of which those of a cluster are alike."""
    rng = np.random.default_rng(0)
    customers = np.repeat(np.arange(clusters), each)
    return np.repeat(rng.normal(1, 1, clusters), each) + rng.normal(0, 0.1, clusters * each), customers


def test_many_figures_at_once_have_the_intervals_that_each_has_alone() -> None:
    values, customers = several()
    both = clustered_means(np.stack([values, values**2]), customers, draws=200, seed=3)
    alone = [clustered_mean(each, customers, draws=200, seed=3) for each in (values, values**2)]
    for (mean, interval), (mean_alone, interval_alone) in zip(both, alone, strict=True):
        assert mean == mean_alone and interval == pytest.approx(interval_alone, rel=1e-12)


def test_an_error_without_draws_is_that_of_the_bootstrap() -> None:
    values, customers = several()
    mean, (low, high) = clustered_mean(values, customers, draws=4000, seed=1)
    same, error = cluster_robust_mean(values, customers)
    assert same == pytest.approx(mean) and 2 * Z95 * error == pytest.approx(high - low, rel=0.06)
    _, as_if_alone = cluster_robust_mean(values, np.arange(len(values)))
    assert error > 1.8 * as_if_alone


def test_of_one_customer_nothing_is_known_of_the_others() -> None:
    mean, error = cluster_robust_mean(np.array([0.2, 0.4]), np.array([7, 7]))
    assert mean == pytest.approx(0.3) and math.isinf(error)
