"""Many images on one sheet, each in a coloured frame with two lines above it.

All of them are one picture on one axis: an axis for each would take seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core.pictures import figure
from pipeline.tasks.image_classification.data.pictures import show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 8
INCHES = 1.3  # from one image to the next
ACROSS = 1.14  # the same, over the width of an image
TEXT = 0.16  # height of a line of text, over the width of an image
LETTERS = 21  # that fit above an image; longer lines are set smaller
SIZE = 8  # points


@dataclass(frozen=True)
class Cell:
    """image: uint8 (C, H, W); above, below: the lines over it, of which the lower has the frame's colour"""

    image: np.ndarray
    above: str
    below: str
    colour: str


@dataclass(frozen=True)
class Line:
    """heading: over the whole line, "" for none; cells: at most COLUMNS"""

    heading: str
    cells: Sequence[Cell]


def draw(lines: Sequence[Line], title: str, legend: Mapping[str, str], path: Path) -> None:
    """legend: what each colour means. Of no lines there is nothing but the title."""
    fig = figure(INCHES * COLUMNS, 0.8)
    if lines:
        _fill(fig, lines, legend)
    fig.suptitle(title, fontsize=10)
    fig.savefig(path)


def _fill(fig: "Figure", lines: Sequence[Line], legend: Mapping[str, str]) -> None:
    from matplotlib.patches import Patch, Rectangle

    channels, height, width = lines[0].cells[0].image.shape
    right, text = round(ACROSS * width), TEXT * width
    tops, down = [], 0.0
    for line in lines:
        down += (3.6 if line.heading else 2.3) * text
        tops.append(round(down))
        down += height + text / 2
    ground = 0 if channels == 1 else 255
    sheet = np.full((channels, round(down) + 1, COLUMNS * right), ground, dtype=np.uint8)
    fig.set_size_inches(INCHES * COLUMNS, INCHES * sheet.shape[1] / right + 0.8)
    ax = fig.subplots()
    ax.axis("off")
    for top, line in zip(tops, lines, strict=True):
        ax.text(-0.5, top - 2.4 * text, line.heading, fontsize=SIZE + 1, weight="bold", va="bottom")
        for place, cell in enumerate(line.cells):
            left = place * right
            sheet[:, top : top + height, left : left + width] = cell.image
            frame = Rectangle((left - 0.5, top - 0.5), width, height, fill=False, ec=cell.colour, lw=2.5)
            ax.add_patch(frame)
            for said, at, colour in ((cell.above, 1.25, "black"), (cell.below, 0.25, cell.colour)):
                size = SIZE * min(1.0, LETTERS / max(len(said), 1))
                ax.text(left - 0.5, top - at * text, said, fontsize=size, va="bottom", color=colour)
    show(ax, sheet)
    ax.set(xlim=(-1.5, COLUMNS * right), ylim=(sheet.shape[1], -0.5))
    marks = [Patch(edgecolor=colour, facecolor="white", lw=2) for colour in legend]
    fig.legend(marks, list(legend.values()), loc="outside lower center", ncols=len(legend), fontsize=9)
