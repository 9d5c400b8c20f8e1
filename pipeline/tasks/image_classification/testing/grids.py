"""Pictures of many small images in rows with a heading each, drawn on one axis: an axis for each image
would take matplotlib seconds."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.pictures import figure

CELL = 0.78  # inches that an image is wide
GAP = 0.07  # inches between two images
GROUP_GAP = 0.25  # inches more between two groups
LINE = 0.13  # inches of a line of a caption
HEADING = (28, 2.0)  # letters in a line, inches
TITLE = (0.22, 0.08)  # inches of a line, of a letter
FRAME = "#cbd5e1"


@dataclass(frozen=True)
class Row:
    """heading: what the row shows; images: float (H, W, 3) in [0, 1]; captions: one an image; group: how many
    images belong together."""

    heading: str
    images: Sequence[np.ndarray]
    captions: Sequence[str]
    group: int = 1

    @property
    def left(self) -> np.ndarray:
        """Of each image, inches from the heading."""
        places = np.arange(len(self.images))
        return places * (CELL + GAP) + (places // self.group) * (GROUP_GAP if self.group > 1 else 0)

    @property
    def above(self) -> float:
        lines = max((caption.count("\n") + 1 for caption in self.captions if caption), default=0)
        return GAP + lines * LINE

    @property
    def height(self) -> float:
        return CELL * max(image.shape[0] / image.shape[1] for image in self.images)


def draw(rows: Sequence[Row], title: str, path: Path) -> None:
    """rows: each with at least one image; title: its first line stands out"""
    titles, letters = title.splitlines(), HEADING[0]
    top = TITLE[0] * len(titles) + 0.2
    width = max((row.left[-1] + CELL + HEADING[1] for row in rows), default=0.0)
    total = (
        max(width, max(map(len, titles)) * TITLE[1]) + 0.1,
        top + sum(r.above + r.height for r in rows) + 0.1,
    )
    fig = figure(*total)
    fig.set_layout_engine("none")
    ax = fig.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.axis("off")
    for line, text in enumerate(titles):
        weight = "normal" if line else "bold"
        ax.text(0.08, 0.08 + TITLE[0] * line, text, fontsize=10, weight=weight, va="top")
    for row in rows:
        top += row.above
        heading = "\n".join(textwrap.wrap(row.heading, letters))
        ax.text(0.08, top + row.height / 2, heading, fontsize=8.5, va="center")
        for left, image, caption in zip(row.left + HEADING[1], row.images, row.captions, strict=True):
            box = (left, left + CELL, top + CELL * image.shape[0] / image.shape[1], top)
            ax.imshow(image, extent=box, interpolation="nearest", aspect="auto")
            edges = [box[0], box[1], box[1], box[0], box[0]], [box[2], box[2], box[3], box[3], box[2]]
            ax.plot(*edges, color=FRAME, lw=0.6)
            ax.text(left + CELL / 2, top - 0.03, caption, fontsize=7, ha="center", va="bottom")
        top += row.height
    ax.set(xlim=(0, total[0]), ylim=(total[1], 0))
    fig.savefig(path)


def shown(image: np.ndarray) -> np.ndarray:
    """An image uint8 (C, H, W) as float (H, W, 3); grey ones as ink on paper, as in all reports."""
    values = np.moveaxis(image, 0, -1) / 255
    return values if values.shape[2] == 3 else np.repeat(1 - values, 3, axis=2)


def signed(values: np.ndarray) -> np.ndarray:
    """float (H, W) -> float (H, W, 3): red above 0, blue below, white at 0; full at the 99th percentile."""
    most = float(np.quantile(np.abs(values), 0.99)) or float(np.abs(values).max()) or 1.0
    share = np.clip(values / most, -1, 1)[..., None]
    red, blue = np.array([0.70, 0.09, 0.17]), np.array([0.13, 0.40, 0.67])
    return np.where(share > 0, 1 - share * (1 - red), 1 + share * (1 - blue))
