"""Intervals hold what they promise; comparisons see what is there."""

import numpy as np
import pytest

from pipeline.core.gates import Gate
from pipeline.core.statistics import auroc, bootstrap_interval, holm, paired_difference, wilson_interval


def test_wilson_interval_against_published_values() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson_interval(29, 29) == pytest.approx((0.8830, 1.0), abs=1e-4)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_wilson_interval_covers_the_truth_in_95_of_100() -> None:
    rng = np.random.default_rng(0)
    covered = [
        low <= 0.98 <= high for low, high in (wilson_interval(k, 500) for k in rng.binomial(500, 0.98, 2000))
    ]
    assert 0.93 < np.mean(covered) < 0.98


def test_bootstrap_interval_of_a_mean_is_that_of_theory() -> None:
    values = np.random.default_rng(1).normal(3, 2, 400)
    low, high = bootstrap_interval(lambda rows: float(values[rows].mean()), 400, draws=2000, seed=0)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_holm_by_hand() -> None:
    corrected = holm(np.array([0.04, 0.01, 0.03, 0.005]))
    assert corrected == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert holm(np.array([0.6, 0.9])).tolist() == [1.0, 1.0] and len(holm(np.empty(0))) == 0


def test_paired_difference_is_much_tighter_than_two_intervals() -> None:
    rng = np.random.default_rng(2)
    old = (rng.random(5000) < 0.95).astype(float)
    new = old.copy()
    new[np.flatnonzero(old == 0)[:50]] = 1
    difference, (low, high) = paired_difference(new, old, draws=4000, seed=0)
    assert difference == pytest.approx(0.01)
    assert 0.006 < low < 0.009 < 0.011 < high < 0.014


def test_paired_difference_of_equal_models_is_nothing() -> None:
    right = np.ones(100)
    assert paired_difference(right, right, draws=100, seed=0) == (0.0, (0.0, 0.0))


@pytest.mark.parametrize(("rule", "value", "passed"), [
    ("at least", 0.5, True), ("at least", 0.49, False), ("at most", 0.5, True), ("at most", 0.51, False),
    ("at least", float("nan"), False), ("at most", float("nan"), False),
])  # fmt: skip
def test_a_gate_passes_on_its_bound_and_never_on_nan(rule: str, value: float, passed: bool) -> None:
    gate = Gate("x", value, rule, 0.5, "data", "collect more.")  # type: ignore[arg-type]
    assert gate.passed is passed
    assert gate.as_json()["passed"] is passed
    assert ("FAILS" in str(gate)) is not passed


def test_auroc_counts_pairs_and_ties_count_half() -> None:
    usual, planted = np.array([0.0, 1.0, 2.0, 3.0]), np.array([2.0, 5.0])
    area, (low, high) = auroc(usual, planted)
    assert area == (2.5 + 4) / 8 and 0 <= low < area < high <= 1
    assert auroc(usual, usual + 10) == (1.0, (1.0, 1.0))
