"""Robustness: how the share right falls when unseen images get worse.

After Hendrycks and Dietterich 2019 (arXiv:1903.12261): the same images, spoilt in each way
(data/corruptions.py) at growing severity; the mean over all ways and severities is the mean corruption
accuracy. Theirs is of errors and divided by those of an AlexNet, which there is not for other images.
"""

import csv
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pipeline.core.deployed_network import DeployedNetwork
from pipeline.core.gates import Gate
from pipeline.core.pictures import ACCENT, figure
from pipeline.core.statistics import Interval, bootstrap_interval, wilson_interval
from pipeline.tasks.image_classification.data.corruptions import CORRUPTIONS
from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.parameters import Evaluate, Robustness
from pipeline.tasks.image_classification.testing import grids
from pipeline.tasks.image_classification.testing.samples import drawn
from pipeline.testing.evaluation import Part

PORTIONS = 8  # at least: what a corruption does to all images of a call alike, it draws anew for each
VALUES = 2**23  # pixel values spoilt at once, so that memory stays small whatever the size of the images
CLEAN = "none"
COLUMNS = 3  # panels side by side
BOUND = "#dc2626"


@dataclass(frozen=True)
class Accuracy:
    """Share right of `images` images with one corruption; severity 0: as they are. interval: 95 %, Wilson"""

    corruption: str
    severity: int
    images: int
    accuracy: float
    interval: Interval


def measure(limits: Evaluate, network: DeployedNetwork, test: Split, folder: Path) -> Part:
    """Writes robustness.csv and robustness.png into `folder`."""
    params = limits.robustness
    sample = drawn(test, params.images, limits.seed)
    clean, right = _right(params, network, sample, limits.seed)
    rows = [_accuracy(CLEAN, 0, clean)]
    for name, of_severities in right.items():
        rows += [_accuracy(name, s, of_severities[i]) for i, s in enumerate(params.severities)]
    of_images = np.mean(list(right.values()), axis=(0, 1))
    mean_interval = bootstrap_interval(
        lambda drawn_rows: float(of_images[drawn_rows].mean()),
        len(of_images), draws=limits.draws, seed=limits.seed,
    )  # fmt: skip
    _write(rows, folder / "robustness.csv")
    _draw(rows, params, sample.pixels[:1], limits.seed, folder / "robustness.png")
    mean = float(of_images.mean())
    first = {row.corruption: row for row in rows if row.severity == params.severities[0]}
    return Part(
        metrics={"mean_corruption_accuracy": mean},
        intervals={"mean_corruption_accuracy": mean_interval},
        gates=tuple(
            Gate(f"right_with_{name}", first[name].accuracy, "at least", floor, "training",
                 f"train with images spoilt by {name}; see evaluation/robustness.png.", first[name].interval)
            for name, floor in params.floors.items() if floor is not None
        ),
        details={"robustness": [asdict(row) for row in rows]},
    )  # fmt: skip


def _right(
    params: Robustness, network: DeployedNetwork, sample: Split, seed: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Where the network is right: bool (N,) of the images as they are, bool (severities, N) of each
    corruption."""
    rng = np.random.default_rng(seed)
    n = len(sample)
    clean = network.run(sample.pixels, "logits").argmax(1) == sample.labels
    right = {name: np.zeros((len(params.severities), n), dtype=bool) for name in params.floors}
    portions = max(PORTIONS, math.ceil(sample.pixels.size / VALUES))
    for rows in np.array_split(np.arange(n), min(portions, n)):
        pixels, labels = sample.pixels[rows], sample.labels[rows]
        for name, of_severities in right.items():
            for i, severity in enumerate(params.severities):
                spoilt = CORRUPTIONS[name](pixels, severity, rng)
                of_severities[i, rows] = network.run(spoilt, "logits").argmax(1) == labels
    return clean, {str(name): found for name, found in right.items()}


def _accuracy(corruption: str, severity: int, right: np.ndarray) -> Accuracy:
    n = len(right)
    return Accuracy(corruption, severity, n, float(right.mean()), wilson_interval(int(right.sum()), n))


def _write(rows: list[Accuracy], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["corruption", "severity", "images", "accuracy", "low", "high"])
        for row in rows:
            figures = (f"{value:.6g}" for value in (row.accuracy, *row.interval))
            writer.writerow([row.corruption, row.severity, row.images, *figures])


def _draw(rows: list[Accuracy], params: Robustness, image: np.ndarray, seed: int, path: Path) -> None:
    """A panel for each corruption: what it makes of one image, and below it the share right."""
    clean, severities = rows[0], params.severities
    lines, rng = -(-len(params.floors) // COLUMNS), np.random.default_rng(seed)
    fig = figure(COLUMNS * 3, lines * 2.5 + 0.5)
    fig.suptitle(
        f"Share right of {clean.images} unseen images, as they are (0) and the more they are spoilt\n"
        "bars: 95 % interval; red line: required of the first severity",
        fontsize=10,
    )
    fig.supxlabel("severity", fontsize=10)
    panels = list(fig.subplots(lines, COLUMNS, squeeze=False).flat)
    for ax in panels[len(params.floors) :]:
        ax.axis("off")
    for ax, (name, floor) in zip(panels, params.floors.items(), strict=False):
        found = [clean, *(row for row in rows if row.corruption == name)]
        accuracy, places = np.array([row.accuracy for row in found]), np.arange(len(found))
        low, high = np.array([row.interval for row in found]).T
        ax.errorbar(places, accuracy, (accuracy - low, high - accuracy), color=ACCENT, marker="o", ms=4)
        if floor is not None:
            ax.plot([0.7, 1.3], [floor, floor], color=BOUND, lw=2)
        for place, value in zip(places, accuracy, strict=True):
            ax.annotate(f"{value:.1%}", (place, 1.04), ha="center", fontsize=7.5)
        spoilt = [image, *(CORRUPTIONS[name](image, severity, rng) for severity in severities)]
        for place, one in zip(places, spoilt, strict=True):
            ax.imshow(grids.shown(one[0]), extent=(place - 0.4, place + 0.4, 1.14, 1.57), aspect="auto")
        ax.set(title=name, xlim=(-0.5, len(found) - 0.5), ylim=(0, 1.6), yticks=[0, 0.5, 1])
        ax.set_xticks(places, ["0", *map(str, severities)])
        ax.grid(alpha=0.3)
    fig.savefig(path)
