"""Pictures for the reports. matplotlib is imported when one is drawn, and never opens a window."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 12
ACCENT = "#2563eb"


def figure(width: float, height: float) -> "Figure":
    """A figure of width x height inches, not attached to any display."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained")


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


def learning_curve(
    sizes: np.ndarray,
    errors: np.ndarray,
    curve: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    goal_error: float,
    path: Path,
) -> None:
    """Pilots (sizes, errors), the fitted curve (x, middle, low, high) and the goal, log-log."""
    fig = figure(7, 4.2)
    ax = fig.subplots()
    x, middle, low, high = curve
    ax.fill_between(x, low, high, color=ACCENT, alpha=0.15, label="95 % interval")
    ax.plot(x, middle, color=ACCENT, label="fitted a·n^-b")
    ax.plot(sizes, errors, "o", color="black", ms=4, label="pilots")
    ax.axhline(goal_error, color="#dc2626", ls="--", label="goal")
    ax.set(xscale="log", yscale="log", xlabel="training images", ylabel="validation error")
    ax.legend(fontsize=8)
    ax.grid(alpha=0.3, which="both")
    fig.savefig(path)


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


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], labels: tuple[str, str], path: Path
) -> None:
    """Named lines (x, y) on one axis; labels: of x and y."""
    fig = figure(7, 4)
    ax = fig.subplots()
    for name, (x, y) in series.items():
        ax.plot(x, y, marker="o", ms=3, label=name)
    ax.set(xlabel=labels[0], ylabel=labels[1])
    ax.legend(fontsize=8)
    ax.grid(alpha=0.3)
    fig.savefig(path)


def bars(names: Sequence[str], values: Sequence[float], label: str, path: Path) -> None:
    """One bar a name; values in [0, 1]."""
    fig = figure(max(5, len(names)), 3.6)
    ax = fig.subplots()
    ax.bar(range(len(names)), values, color=ACCENT)
    ax.set_xticks(range(len(names)), names, fontsize=8)
    ax.set(ylabel=label, ylim=(0, 1))
    fig.savefig(path)
