"""The promotion test's error rates, on few pairs; benchmarks/promotion.json has them on more."""

from dataclasses import replace

from benchmarks import promotion


def test_error_rates_hold_for_right_and_wrong() -> None:
    digits, _ = promotion.shipped()
    equal = promotion.counted(digits, 60, "equal", "", 0.0)
    worse = promotion.counted(digits, 60, "worse", "", 2 * digits.limits.margin)
    assert equal["better"] <= 0.05 and equal["not_worse"] > 0.2
    assert worse["refused"] >= 0.95 and worse["slice_found"] == 0


def test_error_rates_hold_for_recalls() -> None:
    _, retail = promotion.shipped()
    quick = replace(retail, limits=retail.limits.model_copy(update={"draws": 500}))
    equal = promotion.counted(quick, 40, "equal", "", 0.0)
    worse = promotion.counted(quick, 40, "worse", "", 2 * retail.limits.margin)
    assert equal["better"] <= 0.1 and equal["refused"] < 0.3
    assert worse["refused"] >= 0.95


def test_a_loss_in_one_slice_is_found_there() -> None:
    digits, _ = promotion.shipped()
    lost = promotion.counted(digits, 30, "class", "class 0", 6 * digits.limits.slice_margin)
    assert lost["slice_found"] > 0.9 and lost["refused"] >= lost["slice_found"]
