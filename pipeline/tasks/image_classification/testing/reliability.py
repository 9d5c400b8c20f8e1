"""How far the network's confidence is from the share that it is right about; what the temperature changed.

The temperature is fitted by `train` on the validation images and is part of the exported graph; the
unseen images, which all figures here are of, chose nothing.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipeline.core.gates import Gate
from pipeline.core.pictures import ACCENT, figure
from pipeline.core.statistics import (
    Interval,
    bootstrap_interval,
    bootstrap_mean_interval,
    wilson_interval,
)
from pipeline.tasks.image_classification.learning.calibration import (
    BINS,
    expected_calibration_error,
    reliability,
)
from pipeline.tasks.image_classification.parameters import Evaluate, Goals
from pipeline.tasks.image_classification.testing.answers import Answers
from pipeline.tasks.image_classification.testing.classification import brier, log_losses
from pipeline.testing.evaluation import Part

Table = dict[str, np.ndarray]


def measure(
    answers: Answers, temperature: float, validation: int, limits: Evaluate, goals: Goals, folder: Path
) -> Part:
    """Writes reliability.csv and reliability.png.

    temperature: that of the exported graph; validation: how many images it was fitted on
    """
    plain = replace(answers, probabilities=_softmax(answers.logits))
    chance = gaps_by_chance(answers, limits.draws, limits.seed)
    with_it = _told(answers, chance, limits)
    without = _told(plain, gaps_by_chance(plain, limits.draws, limits.seed), limits)
    error, interval = with_it["calibration_error"], with_it["calibration_error_interval"]
    table = bins(answers, chance)
    pa.csv.write_csv(pa.table(table), folder / "reliability.csv")
    _draw(table, plain, temperature, folder / "reliability.png")
    return Part(
        metrics={"calibration_error": error},
        intervals={"calibration_error": interval},
        gates=(
            Gate("calibration_error", error, "at most", goals.calibration_error_max, "training",
                 "fit the temperature on more validation images.", interval),
        ),
        details={
            "calibration": {
                "temperature": temperature,
                "fitted_on": f"{validation:,} validation images, by train",
                "with_temperature": with_it,
                "without_temperature": without,
                "log_loss_change": _change(plain, answers, limits),
            }
        },
    )  # fmt: skip


def calibration_error(answers: Answers, chance: np.ndarray, draws: int, seed: int) -> tuple[float, Interval]:
    """Expected calibration error, and its 95 % interval over images. chance: of `gaps_by_chance`

    The error of a sample is too large, because chance moves each bin away from the diagonal, and a resample
    of it is too large by as much again. The ends of the percentile interval are therefore reflected at the
    estimate (the basic bootstrap, Davison and Hinkley 1997, section 5.2), which is kept inside; and where
    the error cannot be told from that of an exact confidence, the interval begins at 0.
    """
    error = expected_calibration_error(answers.probabilities, answers.right)
    place, gap, total = _places(answers), answers.confidence - answers.right, len(answers)
    low, high = bootstrap_interval(
        lambda rows: float(np.abs(np.bincount(place[rows], gap[rows])).sum() / total),
        total, draws=draws, seed=seed,
    )  # fmt: skip
    exact = error <= largest_by_chance(chance, total)
    return error, (0.0 if exact else max(0.0, min(2 * error - high, error)), max(2 * error - low, error))


def gaps_by_chance(answers: Answers, draws: int, seed: int) -> np.ndarray:
    """float64 (draws, BINS): confidence less right, summed over each bin, were every confidence exact.

    Each image is right with the probability that its confidence says (consistency resampling, Broecker and
    Smith 2007, doi:10.1175/WAF993.1).
    """
    place, confidence = _places(answers), answers.confidence
    rng = np.random.default_rng(seed)
    return np.stack(
        [
            np.bincount(place, confidence - (rng.random(len(place)) < confidence), minlength=BINS)
            for _ in range(draws)
        ]
    )


def largest_by_chance(gaps: np.ndarray, items: int) -> float:
    """The calibration error that 95 of 100 such samples stay below: within it none can be told from some."""
    return float(np.quantile(np.abs(gaps).sum(1) / items, 0.95))


def bins(answers: Answers, chance: np.ndarray) -> Table:
    """Columns of reliability.csv: one row for each bin of the confidence that holds an image.

    accuracy_low, accuracy_high: Wilson's interval; chance_low, chance_high: between these the share right
    falls in 95 of 100 samples, were the confidence exact (`chance`, of `gaps_by_chance`)
    """
    confidence, accuracy, counts = reliability(answers.probabilities, answers.right)
    used = np.flatnonzero(counts)
    around = confidence[used] - np.quantile(chance[:, used] / counts[used], [0.975, 0.025], axis=0)
    intervals = np.array(
        [wilson_interval(round(accuracy[k] * counts[k]), int(counts[k])) for k in used]
    ).reshape(-1, 2)
    return {
        "from": used / BINS,
        "to": (used + 1) / BINS,
        "items": counts[used],
        "confidence": confidence[used],
        "accuracy": accuracy[used],
        "accuracy_low": intervals[:, 0],
        "accuracy_high": intervals[:, 1],
        "chance_low": around[0],
        "chance_high": around[1],
    }


def _places(answers: Answers) -> np.ndarray:
    """int64 (N,), the bin of each image, as `reliability` has them."""
    return np.minimum((answers.confidence * BINS).astype(np.int64), BINS - 1)


def _told(answers: Answers, chance: np.ndarray, limits: Evaluate) -> dict[str, Any]:
    error, interval = calibration_error(answers, chance, limits.draws, limits.seed)
    over = answers.confidence - answers.right
    return {
        "calibration_error": error,
        "calibration_error_interval": interval,
        "calibration_error_by_chance": largest_by_chance(chance, len(answers)),
        "overconfidence": float(over.mean()),
        "overconfidence_interval": bootstrap_mean_interval(over, draws=limits.draws, seed=limits.seed),
        "log_loss": float(log_losses(answers.of_label).mean()),
        "brier_score": float(brier(answers).mean()),
    }


def _change(plain: Answers, answers: Answers, limits: Evaluate) -> dict[str, Any]:
    """Mean log loss with the temperature less that without, paired by image."""
    change = log_losses(answers.of_label) - log_losses(plain.of_label)
    interval = bootstrap_mean_interval(change, draws=limits.draws, seed=limits.seed)
    return {"value": float(change.mean()), "interval": interval}


def _softmax(logits: np.ndarray) -> np.ndarray:
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def _draw(table: Table, plain: Answers, temperature: float, path: Path) -> None:
    """Share right against confidence, and below it how many images have which confidence."""
    fig = figure(6, 6)
    ax, below = fig.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    ax.plot([0, 1], [0, 1], color="grey", ls=":", label="exact")
    x, y = table["confidence"], table["accuracy"]
    ax.vlines(
        x, table["chance_low"], table["chance_high"], color="#cbd5e1", lw=9, label="by chance, if exact"
    )
    spread = np.abs(np.stack([y - table["accuracy_low"], table["accuracy_high"] - y]))
    ax.errorbar(x, y, spread, fmt="o", ms=5, color=ACCENT, lw=1.5, label="with the temperature, 95 %")
    confidence, accuracy, counts = reliability(plain.probabilities, plain.right)
    used = counts > 0
    ax.plot(
        confidence[used], accuracy[used], "x", color="#d97706", ms=6,
        label=f"without (temperature 1 in place of {temperature:.2f})",
    )  # fmt: skip
    ax.set(ylabel="share right", title="Calibration on unseen images", ylim=(-0.03, 1.03))
    fig.legend(fontsize=8, loc="outside lower center", ncols=2)
    below.bar(table["from"], table["items"], width=1 / BINS, align="edge", color=ACCENT, edgecolor="white")
    below.set(yscale="log", xlabel="confidence", ylabel="images", xlim=(0, 1.02))
    for each in (ax, below):
        each.grid(alpha=0.3)
    fig.savefig(path)
