"""Pictures of what answers rest on, and of the test whether they can be believed."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core.pictures import ACCENT, figure
from pipeline.core.statistics import Z95
from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.parameters import Attributions
from pipeline.tasks.image_classification.testing import grids
from pipeline.tasks.image_classification.testing.attribution_methods import integrated_gradients, occlusion
from pipeline.tasks.image_classification.testing.deletion import SHARES, Deletion
from pipeline.tasks.image_classification.testing.samples import usual_and_hard, worst_errors

if TYPE_CHECKING:
    from torch import nn


def draw_deletion(tried: Deletion, path: Path) -> None:
    fig = figure(6, 3.8)
    ax = fig.subplots()
    for curve, colour, label in (
        (tried.at_random, "grey", "in random order"),
        (tried.by_attribution, ACCENT, "the most attributed first"),
    ):
        mean = curve.mean(0)
        error = Z95 * curve.std(0) / np.sqrt(len(curve))
        ax.fill_between(SHARES, mean - error, mean + error, color=colour, alpha=0.15)
        ax.plot(SHARES, mean, color=colour, marker="o", ms=3, label=label)
    ax.set(
        title=f"Do the attributions know which pixels matter? Area between: {tried.gain.mean():.2f}",
        xlabel="share of the pixels painted over, of those that are not blank",
        ylabel="mean probability of the first answer",
        ylim=(-0.02, 1.05),
    )
    ax.title.set_fontsize(10)
    ax.legend(fontsize=8)
    ax.grid(alpha=0.3)
    fig.savefig(path)


def draw_right(
    params: Attributions,
    classes: tuple[str, ...],
    network: "nn.Module",
    test: Split,
    probabilities: np.ndarray,
    path: Path,
) -> None:
    """Right answers of each class: the image, integrated gradients, occlusion."""
    shown = classes[: params.columns]
    chosen = usual_and_hard(test.labels, probabilities, len(shown), params.of_each_class)
    rows = []
    for depth in range(params.of_each_class):
        columns = [k for k, of_class in enumerate(chosen) if len(of_class) > depth]
        where = np.array([chosen[k][depth] for k in columns], dtype=np.int64)
        if not len(where):
            continue
        pixels, answers = test.pixels[where], test.labels[where]
        gradients, _ = integrated_gradients(network, pixels, answers, params.steps)
        hidden = occlusion(network, pixels, answers)
        sure = [f"{shown[k]}\n{probabilities[i].max():.2f}" for k, i in zip(columns, where, strict=True)]
        rows += [
            grids.Row("a usual right answer" if depth == 0 else "a right answer, less sure",
                      [grids.shown(image) for image in pixels], sure),
            _signed_row("integrated gradients", gradients),
            _signed_row("occlusion", hidden),
        ]  # fmt: skip
    of_all = "" if len(shown) == len(classes) else f" (the first {len(shown)} of {len(classes)} classes)"
    grids.draw(
        rows,
        f"What right answers rest on{of_all}\nred: speaks for the answer; blue: against it; white: neither. "
        "Above the image: answer and confidence",
        path,
    )


def draw_errors(
    params: Attributions,
    classes: tuple[str, ...],
    network: "nn.Module",
    test: Split,
    probabilities: np.ndarray,
    path: Path,
) -> None:
    """The most confident errors: the image, what spoke for the answer, what for the label."""
    where = worst_errors(test.labels, probabilities, params.columns)
    rows = []
    if len(where):
        pixels, labels, answers = test.pixels[where], test.labels[where], probabilities[where].argmax(1)
        captions = [
            f"{classes[label]} read as\n{classes[answer]}: {probabilities[i].max():.2f}"
            for i, label, answer in zip(where, labels, answers, strict=True)
        ]
        for_answer, _ = integrated_gradients(network, pixels, answers, params.steps)
        for_label, _ = integrated_gradients(network, pixels, labels, params.steps)
        rows = [
            grids.Row("image", [grids.shown(image) for image in pixels], captions),
            _signed_row("what spoke for the wrong answer", for_answer),
            _signed_row("what spoke for the label", for_label),
        ]
    grids.draw(
        rows,
        "Why the most confident errors were made\n" + (
            "red: speaks for it; blue: against it (integrated gradients)" if rows else "there are no errors"
        ),
        path,
    )  # fmt: skip


def _signed_row(heading: str, found: np.ndarray) -> grids.Row:
    return grids.Row(heading, [grids.signed(values) for values in found], [""] * len(found))
