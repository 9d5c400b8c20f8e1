"""Pictures of images and of what a classifier makes of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.pictures import ACCENT, figure

COLUMNS = 12


def gallery(pixels: np.ndarray, captions: Sequence[str], path: Path, title: str) -> None:
    """pixels: uint8 (N, C, H, W), N captions; an empty gallery says that it is empty."""
    rows = max(1, -(-len(pixels) // COLUMNS))
    fig = figure(COLUMNS * 0.95, rows * 1.15 + 0.4)
    fig.suptitle(title if len(pixels) else f"{title}: none", fontsize=10)
    for ax in (axes := fig.subplots(rows, COLUMNS, squeeze=False).ravel()):
        ax.axis("off")
    for ax, image, caption in zip(axes, pixels, captions, strict=False):
        show(ax, image)
        ax.set_title(caption, fontsize=7)
    fig.savefig(path)


def show(ax: Any, image: np.ndarray) -> None:
    """One image uint8 (C, H, W) on a matplotlib axis."""
    if image.shape[0] == 1:
        ax.imshow(image[0], cmap="gray_r", vmin=0, vmax=255)
    else:
        ax.imshow(np.moveaxis(image, 0, -1))


def confusion(matrix: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """matrix: int (K, K), rows true, columns predicted; only the mistakes are coloured."""
    fig = figure(6, 5.4)
    ax = fig.subplots()
    mistakes = matrix * (1 - np.eye(len(matrix), dtype=int))
    ax.imshow(mistakes, cmap="Reds", vmin=0, vmax=max(1, mistakes.max()))
    for (i, j), count in np.ndenumerate(matrix):
        if count:
            dark = mistakes[i, j] > mistakes.max() / 2
            ax.text(
                j, i, str(count), ha="center", va="center", fontsize=7, color="white" if dark else "black"
            )
    ax.set(xlabel="predicted", ylabel="true", title="Unseen images: mistakes in red")
    ax.set_xticks(range(len(classes)), classes)
    ax.set_yticks(range(len(classes)), classes)
    fig.savefig(path)


def reliability(confidence: np.ndarray, accuracy: np.ndarray, counts: np.ndarray, path: Path) -> None:
    """Mean confidence against accuracy of each bin, float (bins,), and how many images it holds."""
    fig = figure(5, 4.4)
    ax = fig.subplots()
    used = counts > 0
    ax.plot([0, 1], [0, 1], color="grey", ls=":")
    ax.scatter(confidence[used], accuracy[used], s=12 + 3 * np.sqrt(counts[used]), color=ACCENT)
    ax.set(xlabel="confidence", ylabel="share right", title="Calibration on unseen images")
    fig.savefig(path)
