"""What pilot trainings on growing parts of the data say of the training on all of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import pictures
from pipeline.training import learning_curve

CURVE_POINTS = 40  # at which the fitted curve is drawn


@dataclass(frozen=True)
class Pilots:
    """One of P a training. sizes: items that it learnt from, in `unit`; repeats: the how many-th of its
    size; errors: share wrong, in [0, 1]; noise: the standard error with which that was measured; least: the
    error that the curve is fitted to where a pilot's is smaller, since its logarithm must exist."""

    unit: str
    sizes: np.ndarray
    repeats: list[int]
    errors: np.ndarray
    noise: np.ndarray
    least: float = 0.0


def extrapolate(
    pilots: Pilots, items: int, goal: float, *, draws: int, seed: int, picture: Path
) -> dict[str, Any]:
    """What the score with all `items` will be, as forecast.json holds it; also drawn to `picture`.

    goal: the score that is wanted; a score is one minus an error
    """
    fitted = np.maximum(pilots.errors, pilots.least)
    curve = learning_curve.fit(pilots.sizes, fitted, pilots.noise, draws=draws, seed=seed)
    error, (low, high) = curve.error(items)
    x = np.geomspace(pilots.sizes.min(), items, CURVE_POINTS)
    middle, lows, highs = np.array([(middle, *bounds) for middle, bounds in map(curve.error, x)]).T
    pictures.learning_curve(pilots.sizes, pilots.errors, (x, middle, lows, highs), 1 - goal, picture)
    return {
        "items": items,
        "unit": pilots.unit,
        "goal": goal,
        "score": 1 - error,
        "score_interval": [1 - high, 1 - low],
        "items_needed": curve.items_for(1 - goal),
        "pilots": [
            {"items": int(size), "repeat": repeat, "error": float(wrong)}
            for size, repeat, wrong in zip(pilots.sizes, pilots.repeats, pilots.errors, strict=True)
        ],
    }
