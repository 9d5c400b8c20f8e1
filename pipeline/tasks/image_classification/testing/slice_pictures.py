"""Pictures of slices: how accurate they are, and what they look like.

A row is a slice that is judged, as slices.csv has it; the worst comes first.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.pictures import ACCENT, figure
from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.testing import contact_sheet
from pipeline.tasks.image_classification.testing.answers import Answers
from pipeline.tasks.image_classification.testing.contact_sheet import COLUMNS, Cell, Line

EXAMPLES = 6  # slices of the lowest accuracy, in slice_examples.png
SHOWN = 40  # slices of the lowest accuracy, in slices.png
COLOURS = {"class": "#0f766e", "property": ACCENT, "found": "#b45309"}
RIGHT, WRONG = "#64748b", "#dc2626"
KINDS = {"class": "true class", "property": "third of a property", "found": "found on validation images"}

Rows = list[dict[str, Any]]


def accuracies(judged: Rows, overall: float, floor: float, path: Path) -> None:
    """Accuracy of each slice, the worst on top."""
    shown = judged[:SHOWN]
    fig = figure(8.5, max(1, len(shown)) * 0.2 + 1.3)
    ax = fig.subplots()
    for kind, colour in COLOURS.items():
        rows = [(place, row) for place, row in enumerate(shown) if row["kind"] == kind]
        places = [place for place, _ in rows]
        low, high = ([row[end] for _, row in rows] for end in ("low", "high"))
        ax.hlines(places, low, high, color=colour, lw=1.8)
        ax.scatter([row["accuracy"] for _, row in rows], places, s=22, color=colour, label=KINDS[kind])
    below = [place for place, row in enumerate(shown) if row["evidently_below"]]
    if below:
        values = [shown[place]["accuracy"] for place in below]
        ax.scatter(values, below, s=90, marker="x", color="#dc2626", label="evidently below")
    ax.axvline(overall, color="grey", ls=":", label="all unseen images")
    ax.axvline(floor, color="#dc2626", ls="--", label="floor")
    ax.set_yticks(range(len(shown)), [f"{row['slice']}  ({row['items']:,})" for row in shown], fontsize=8)
    ax.invert_yaxis()
    ax.set(xlabel="accuracy, 95 % interval", title="Slices of the unseen images, the worst first (images)")
    ax.legend(fontsize=8, loc="best")
    ax.grid(alpha=0.3, axis="x")
    fig.savefig(path)


def examples(
    judged: Rows,
    masks: Mapping[str, np.ndarray],
    answers: Answers,
    test: Split,
    classes: tuple[str, ...],
    path: Path,
) -> None:
    """What the worst slices look like: a line each, the lowest probability of the true class first."""
    right, predicted, confidence = answers.right, answers.predicted, answers.confidence
    of_label = answers.of_label
    lines = []
    for row in judged[:EXAMPLES]:
        inside = np.flatnonzero(masks[row["slice"]])
        order = inside[np.lexsort((of_label[inside], right[inside]))][:COLUMNS]
        cells = [
            Cell(
                test.pixels[i],
                f"{classes[answers.labels[i]]}" if right[i] else f"{classes[answers.labels[i]]}, wrong:",
                f"read as {classes[predicted[i]]}, {confidence[i]:.2f}",
                RIGHT if right[i] else WRONG,
            )
            for i in order
        ]
        lines.append(Line(f"{row['slice']}: {row['accuracy']:.2%} of {row['items']:,} right", cells))
    title = "The worst slices: their errors, then what they are least confident of"
    contact_sheet.draw(
        lines,
        title if lines else "No slice is large enough to be judged",
        {WRONG: "wrong", RIGHT: "right"},
        path,
    )
