"""Pictures of images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.pictures import figure

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
