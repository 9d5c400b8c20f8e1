"""The forecast of the stage `forecast`, from pilots whose outcome is known."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.training.pilots import Pilots, extrapolate

SIZES = np.array([500, 500, 1000, 1000, 2000, 2000, 4000, 4000])
REPEATS = [0, 1] * 4
NOISE = np.full(len(SIZES), 1e-6)


def test_pilots_on_a_power_law_forecast_its_value_for_all_items(tmp_path: Path) -> None:
    picture = tmp_path / "curve.png"
    pilots = Pilots("images", SIZES, REPEATS, 2.0 * SIZES**-0.5, NOISE)
    told = extrapolate(pilots, 40_000, 0.995, draws=50, seed=0, picture=picture)
    assert told["score"] == pytest.approx(0.99, abs=1e-4)
    low, high = told["score_interval"]
    assert low <= told["score"] <= high
    assert told["items_needed"] == pytest.approx(160_000, rel=0.01)
    assert (told["items"], told["unit"], told["goal"]) == (40_000, "images", 0.995)
    assert told["pilots"][3] == {"items": 1000, "repeat": 1, "error": pytest.approx(0.0632, abs=1e-4)}
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_pilot_without_errors_is_told_as_it_was_and_fitted_to_the_least(tmp_path: Path) -> None:
    errors = 2.0 * SIZES**-0.5
    errors[-1] = 0.0
    noise = np.full(len(SIZES), 0.01)
    pilots = Pilots("images", SIZES, REPEATS, errors, noise, least=0.03)
    told = extrapolate(pilots, 8_000, 0.9, draws=50, seed=0, picture=tmp_path / "curve.png")
    assert told["pilots"][-1]["error"] == 0.0
    assert 0.9 < told["score"] < 1
