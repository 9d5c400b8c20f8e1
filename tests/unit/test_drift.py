"""Drift: rarely seen where there is none, seen where there is, and named."""

import numpy as np

from pipeline.monitoring import drift

NAMES = ("brightness", "contrast", "confidence")


def profile(n: int, seed: int, **moved: float) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(moved.get(name, 0), 1, n) for name in NAMES}


def test_false_alarms_stay_at_the_stated_rate() -> None:
    reference = profile(5000, 0)
    alarms = [drift.judge(reference, profile(300, seed)).alarm(0.05) for seed in range(1, 401)]
    assert np.mean(alarms) <= 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5


def test_a_move_is_noticed_and_named() -> None:
    reference = profile(5000, 0)
    for cause in NAMES:
        found = drift.judge(reference, profile(300, 1, **{cause: 0.6}))
        assert found.alarm(0.001) and found.cause == cause
        assert 0.4 < found.shift < 0.8


def test_a_property_that_never_varied_is_judged_too() -> None:
    reference = {"noise": np.zeros(1000)}
    assert not drift.judge(reference, {"noise": np.zeros(300)}).alarm(0.001)
    assert drift.judge(reference, {"noise": np.full(300, 0.1)}).alarm(0.001)
