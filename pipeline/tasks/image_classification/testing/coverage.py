"""What share of the images the network can answer by itself, when the least confident go to people.

Images are ordered by confidence. Coverage is the share that is answered automatically; the risk is the
share of those that is wrong (selective classification: El-Yaniv and Wiener 2010; Geifman and El-Yaniv
2017, arXiv:1705.08500). Thresholds are chosen on the validation images; what they bring is measured on
unseen ones.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipeline.core.pictures import ACCENT, figure
from pipeline.core.statistics import Interval, wilson_interval
from pipeline.tasks.image_classification.parameters import Evaluate
from pipeline.tasks.image_classification.testing.answers import Answers
from pipeline.testing.evaluation import Part

POINTS = 200  # rows of coverage.csv at most
MARGIN = 1.8  # of the picture's coverages over those from the first error on


@dataclass(frozen=True)
class Automatic:
    """What one wanted accuracy brings on unseen images.

    threshold: the lowest confidence that is answered automatically; None: no threshold reached the accuracy
    on the validation images, so nothing is. share: of all images; accuracy: of the answered
    """

    wanted: float
    threshold: float | None
    share: float
    share_interval: Interval
    accuracy: float | None
    accuracy_interval: Interval | None


def measure(answers: Answers, chosen_by: Answers, limits: Evaluate, folder: Path) -> Part:
    """Writes coverage.csv and coverage.png. chosen_by: answers to the validation images"""
    confidence, right = answers.confidence, answers.right
    found = [
        automatic(threshold(chosen_by.confidence, chosen_by.right, wanted), wanted, confidence, right)
        for wanted in limits.automatic_accuracies
    ]
    table = curve(confidence, right)
    pa.csv.write_csv(pa.table(_thinned(table)), folder / "coverage.csv")
    _draw(table, found, folder / "coverage.png")
    area, interval = risk_area(confidence, right, limits.draws, limits.seed)
    return Part(
        metrics={"automatic_share": found[0].share},
        intervals={"automatic_share": found[0].share_interval},
        details={
            "coverage": {
                "risk_area": area,
                "risk_area_interval": interval,
                "least_risk_area": least_risk_area(float(right.mean())),
                "automatic": [asdict(each) for each in found],
                "thresholds_chosen_on": f"{len(chosen_by):,} validation images",
            }
        },
    )


def threshold(confidence: np.ndarray, right: np.ndarray, wanted: float) -> float | None:
    """The lowest confidence such that of all images at or above it the share `wanted` is right.

    0.0 where that holds of all images, so that one less confident than any here is answered too; None where
    no confidence will do. confidence: float (N,); right: bool (N,)
    """
    table = curve(confidence, right)
    reached = np.flatnonzero(table["accuracy"] >= wanted)
    if not len(reached):
        return None
    last = reached[-1]
    return 0.0 if last == len(table["accuracy"]) - 1 else float(table["threshold"][last])


def automatic(least: float | None, wanted: float, confidence: np.ndarray, right: np.ndarray) -> Automatic:
    answered = confidence >= (np.inf if least is None else least)
    count, hits = int(answered.sum()), int(right[answered].sum())
    return Automatic(
        wanted=wanted,
        threshold=least,
        share=count / len(right),
        share_interval=wilson_interval(count, len(right)),
        accuracy=hits / count if count else None,
        accuracy_interval=wilson_interval(hits, count) if count else None,
    )


def curve(confidence: np.ndarray, right: np.ndarray) -> dict[str, np.ndarray]:
    """One row for each confidence that occurs, the highest first.

    Returns float64 (M,): threshold, coverage (share of images at or above it), accuracy (of those)
    """
    values, place = np.unique(confidence, return_inverse=True)
    answered = np.bincount(place)[::-1].cumsum()
    hits = np.bincount(place, right)[::-1].cumsum()
    return {
        "threshold": values[::-1],
        "coverage": answered / len(confidence),
        "accuracy": hits / answered,
    }


def risk_area(confidence: np.ndarray, right: np.ndarray, draws: int, seed: int) -> tuple[float, Interval]:
    """Mean risk over all coverages (the area under the risk-coverage curve), and its 95 % bootstrap
    interval.

    Geifman, Uziel and El-Yaniv 2019, arXiv:1805.08206. Images of the same confidence share their errors
    evenly, so that their order does not matter.
    """
    _, place, counts = np.unique(-confidence, return_inverse=True, return_counts=True)
    order = np.argsort(place, kind="stable")
    wrong = (np.bincount(place, ~right) / counts)[place[order]]

    def area(times: np.ndarray) -> float:
        answered = times.cumsum()
        risk = (times * wrong).cumsum() / np.maximum(answered, 1)
        return float(times @ risk / len(wrong))

    rng = np.random.default_rng(seed)
    total = len(wrong)
    drawn = [
        area(np.bincount(rng.integers(0, total, total), minlength=total).astype(np.float64))
        for _ in range(draws)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return area(np.ones(total)), (float(low), float(high))


def least_risk_area(accuracy: float) -> float:
    """The area of a network of this accuracy whose errors are its least confident answers, of many images:
    r + (1 - r) ln(1 - r) with the risk r = 1 - accuracy (Geifman, Uziel and El-Yaniv 2019)."""
    return float(1 - accuracy + (accuracy * np.log(accuracy) if accuracy > 0 else 0.0))


def _thinned(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    rows = np.unique(np.linspace(0, len(table["coverage"]) - 1, POINTS).round().astype(int))
    return {name: column[rows] for name, column in table.items()}


def _draw(table: dict[str, np.ndarray], found: list[Automatic], path: Path) -> None:
    """Accuracy of what is answered against the share that is answered."""
    fig = figure(7, 4.4)
    ax = fig.subplots()
    coverage, accuracy = table["coverage"], table["accuracy"]
    ax.step(coverage * 100, accuracy * 100, where="post", color=ACCENT, label="unseen images")
    ideal = np.minimum(1.0, accuracy[-1] / np.maximum(coverage, 1e-9))
    ax.plot(coverage * 100, ideal * 100, color="grey", ls=":", label="if every error were less confident")
    for place, each in enumerate(found):
        if each.accuracy is None or each.accuracy_interval is None:
            continue
        low, high = (100 * end for end in each.accuracy_interval)
        colour = f"C{place + 1}"
        label = f"{each.wanted:.2%} wanted: {each.share:.1%} answered, {each.accuracy:.2%} right"
        ax.axhline(each.wanted * 100, color=colour, ls="--", lw=0.8)
        ax.plot([each.share * 100] * 2, [low, high], color=colour, lw=2)
        ax.plot(each.share * 100, each.accuracy * 100, "o", color=colour, ms=6, label=label)
    ax.set(
        xlabel="answered automatically, % of images",
        ylabel="right, % of the answered",
        title="What is right when the least confident go to people",
    )
    without_error = float(coverage[accuracy == 1].max(initial=0.0))
    left = max(0.0, 100 - MARGIN * (100 - 100 * without_error)) if accuracy[-1] < 1 else 0.0
    ax.set_xlim(left, 100 + (100 - left) / 50)
    ax.legend(fontsize=8, loc="lower left")
    ax.grid(alpha=0.3)
    fig.savefig(path)
