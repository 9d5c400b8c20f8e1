"""Representations: what each layer makes of an image, and how the classes come apart with depth.

A deep network distils: each layer keeps what tells the classes apart and loses what does not. Seen in two
ways: the maps of each layer for one image of each class; and, of each layer, whether an image lies nearest
to the mean of its own class. That classifier has nothing to be fitted but the means, so that its accuracy is
the layer's doing; in a network trained far enough the last layers bring it to the accuracy of the network
(Papyan, Han and Donoho 2020, arXiv:2008.08186; probes of single layers: Alain and Bengio 2016,
arXiv:1610.01644). Means and projections are those of validation images; what is told and drawn are unseen
ones.
"""

import csv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core.pictures import ACCENT, figure
from pipeline.core.statistics import Interval, wilson_interval
from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.parameters import Evaluate
from pipeline.tasks.image_classification.testing import activation_maps, layers
from pipeline.tasks.image_classification.testing.samples import drawn
from pipeline.testing.evaluation import Part

if TYPE_CHECKING:
    from torch import nn

COMPONENTS = 40  # principal components in which the projection is looked for
SMALL = 1e-6  # of the variance, so that classes without any spread can be told apart, too
COLUMNS = 4  # panels side by side
COLOURS = 10  # of points, used again where there are more classes
NAMED = 20  # classes at most whose names are written among the points


@dataclass(frozen=True)
class Separation:
    """How well the class means of one layer tell unseen images apart. layer: 0 the pixels; numbers: how many
    the layer answers for an image; interval: 95 %, Wilson"""

    layer: int
    name: str
    numbers: int
    accuracy: float
    interval: Interval


def look(
    limits: Evaluate,
    classes: tuple[str, ...],
    network: "nn.Module",
    val: Split,
    test: Split,
    probabilities: np.ndarray,
    folder: Path,
) -> Part:
    """Writes activations.png, classes_by_depth.png and separability.csv into `folder`.

    network: in PyTorch; probabilities: float (N, K), its answers to `test`
    """
    params = limits.representations
    looked_at = layers.of(network, params.layers)
    activation_maps.draw(limits, classes, network, looked_at, test, probabilities, folder / "activations.png")
    known, asked = (drawn(split, params.images, limits.seed) for split in (val, test))
    of_known, of_asked = (layers.features(network, looked_at, split.pixels) for split in (known, asked))
    of_one = layers.activations(network, looked_at, test.pixels[:1])
    shapes = [test.pixels.shape[1:], *(activation.shape[1:] for activation in of_one)]
    numbers = [0, *(layer.number for layer in looked_at)]
    found = []
    for number, shape, there, here in zip(numbers, shapes, of_known, of_asked, strict=True):
        right = nearest_mean(there, known.labels, here) == asked.labels
        name = f"layer {number}: {layers.words(shape)}" if number else f"pixels: {layers.words(shape)}"
        accuracy, interval = float(right.mean()), wilson_interval(int(right.sum()), len(right))
        found.append(Separation(number, name, int(np.prod(shape)), accuracy, interval))
    _write(found, folder / "separability.csv")
    planes = [
        plane(there, known.labels, here, limits.seed) for there, here in zip(of_known, of_asked, strict=True)
    ]
    _draw(found, planes, asked.labels, classes, folder / "classes_by_depth.png")
    first, last = found[0], found[-1]
    return Part(
        metrics={"separability_of_pixels": first.accuracy, "separability_of_logits": last.accuracy},
        intervals={"separability_of_pixels": first.interval, "separability_of_logits": last.interval},
        gates=(),
        details={"separability": [asdict(separation) for separation in found]},
    )


def nearest_mean(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The class whose mean over `known` (N, D) is nearest to each of `asked` (M, D); int64 (M,)."""
    names = np.unique(labels)
    means = np.stack([known[labels == name].mean(0) for name in names])
    # The square of `asked` itself is the same for all means.
    return names[(np.square(means).sum(1) - 2 * asked @ means.T).argmin(1)]


def plane(known: np.ndarray, labels: np.ndarray, asked: np.ndarray, seed: int) -> np.ndarray:
    """`asked` (M, D) on the plane in which the classes of `known` (N, D) lie furthest apart; float (M, 2).

    Linear discriminant analysis (Fisher 1936, Rao 1948) in the first principal components (Belhumeur et al.
    1997, "Fisherfaces"), with the covariance within the classes shrunk (Ledoit and Wolf 2004), since images
    may be few. A layer that answers the same to all images has no such plane: all lie at 0.
    """
    from scipy.linalg import eigh
    from sklearn.covariance import ledoit_wolf

    from pipeline.tasks.image_classification.learning.shallow.components import projected

    points = np.zeros((len(asked), 2))
    if np.ptp(known, axis=0).max() == 0:
        return points
    before, after = projected(COMPONENTS, known, asked, seed)
    _, place = np.unique(labels, return_inverse=True)
    means = np.stack([before[place == k].mean(0) for k in range(place.max() + 1)])[place]
    within = ledoit_wolf(before - means, assume_centered=True)[0]
    within += SMALL * before.var() * np.eye(len(within))
    _, directions = eigh(means.T @ means / len(means), within)  # principal components have mean 0
    found = after @ directions[:, :-3:-1]
    points[:, : found.shape[1]] = found
    return points


def _write(found: list[Separation], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["layer", "answers", "numbers", "accuracy", "low", "high"])
        for row in found:
            figures = (f"{value:.6g}" for value in (row.accuracy, *row.interval))
            writer.writerow([row.layer, row.name, row.numbers, *figures])


def _draw(
    found: list[Separation],
    planes: list[np.ndarray],
    labels: np.ndarray,
    classes: tuple[str, ...],
    path: Path,
) -> None:
    """A panel for each layer, a point for each unseen image; below, the share right by nearest means."""
    columns = min(COLUMNS, len(found))
    lines = -(-len(found) // columns)
    fig = figure(columns * 2.7, lines * 2.7 + 3)
    fig.suptitle(
        f"How the classes come apart with depth: {len(labels)} unseen images, a colour for each class\n"
        "each panel is the plane in which that layer's classes lie furthest apart",
        fontsize=10,
    )
    grid = fig.add_gridspec(lines + 1, columns, height_ratios=[2.7] * lines + [2.2])
    for place, (separation, points) in enumerate(zip(found, planes, strict=True)):
        ax = fig.add_subplot(grid[place // columns, place % columns])
        for k, name in enumerate(classes):
            of_class = points[labels == k]
            if not len(of_class):
                continue
            ax.scatter(of_class[:, 0], of_class[:, 1], s=5, color=f"C{k % COLOURS}", alpha=0.6, linewidths=0)
            if len(classes) <= NAMED:
                x, y = np.median(of_class, axis=0)
                ax.text(
                    x, y, name, fontsize=9, weight="bold", ha="center", va="center",
                    bbox={"color": "white", "alpha": 0.7, "pad": 0.5},
                )  # fmt: skip
        ax.set_title(f"{separation.name}\n{separation.accuracy:.1%} nearest to their own mean", fontsize=8.5)
        ax.set(xticks=[], yticks=[])
    ax = fig.add_subplot(grid[lines, :])
    accuracy, places = np.array([row.accuracy for row in found]), np.arange(len(found))
    low, high = np.array([row.interval for row in found]).T
    ax.errorbar(places, accuracy, (accuracy - low, high - accuracy), color=ACCENT, marker="o", ms=5)
    ax.set_xticks(places, [row.name.replace(": ", "\n") for row in found], fontsize=8)
    ax.set(ylabel="nearest to the mean\nof their own class")
    ax.set_title(
        "Share of unseen images that each layer puts nearest to their own class; bars: 95 % interval",
        fontsize=9,
    )
    ax.grid(alpha=0.3)
    fig.savefig(path)
