"""Pictures for the reports. matplotlib is imported when one is drawn, and never opens a window."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACCENT = "#2563eb"


def figure(width: float, height: float) -> "Figure":
    """A figure of width x height inches, not attached to any display."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained")


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
    ax.set(xscale="log", yscale="log", xlabel="training items", ylabel="validation error")
    ax.legend(fontsize=8)
    ax.grid(alpha=0.3, which="both")
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


def gradient_norms(rows: Mapping[str, tuple[np.ndarray, np.ndarray]], path: Path) -> None:
    """Norms of each layer's gradient, float (L,) before training (solid) and after it (dashed), on a
    logarithmic axis; what is 0 or not finite is left out."""
    fig = figure(8, 4.6)
    ax = fig.subplots()
    for place, (name, (before, after)) in enumerate(rows.items()):
        layers, colour = np.arange(1, len(before) + 1), f"C{place}"
        for norms, style, label in ((before, "o-", name), (after, "--", None)):
            shown = np.isfinite(norms) & (norms > 0)
            ax.plot(layers[shown], norms[shown], style, color=colour, ms=3, label=label)
    ax.set(
        yscale="log", xlabel="layer, from the input", ylabel="norm of the gradient (dashed: after training)"
    )
    ax.legend(fontsize=8)
    ax.grid(alpha=0.3)
    fig.savefig(path)


def intervals(rows: Mapping[str, tuple[float, tuple[float, float]]], label: str, path: Path) -> None:
    """One line a name: its figure, and the interval around it."""
    fig = figure(7, 0.45 * len(rows) + 1)
    ax = fig.subplots()
    names = list(rows)[::-1]
    for place, name in enumerate(names):
        value, (low, high) = rows[name]
        ax.plot([low, high], [place, place], color=ACCENT, lw=2)
        ax.plot(value, place, "o", color=ACCENT)
        ax.text(high, place, f"  {value:.3f}", va="center", fontsize=8)
    ax.set_yticks(range(len(names)), names, fontsize=9)
    ax.set(xlabel=label)
    ax.margins(x=0.15)
    ax.grid(alpha=0.3, axis="x")
    fig.savefig(path)
