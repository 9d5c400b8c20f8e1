"""Corrections of labels: a small file in git for each project, labels/P.csv. Raw data is never edited.

Columns: item_id, label (name of a class), by (who said so); one row an item, sorted by item_id.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.artifacts import writing_file
from pipeline.core.errors import SourceError
from pipeline.labels.label_names import LabelNames

COLUMNS = ("item_id", "label", "by")


@dataclass(frozen=True)
class Correction:
    label: str
    by: str


def read(path: Path) -> dict[str, Correction]:
    """item_id -> correction; nothing where there is no file. SourceError names the line that is wrong."""
    if not path.is_file():
        return {}
    found: dict[str, Correction] = {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            raise SourceError(
                f"{path}: its columns are {', '.join(rows.fieldnames or ())}; they must be "
                f"{', '.join(COLUMNS)}."
            )
        for row in rows:
            item, label = row["item_id"], row["label"]
            if not item or not label or None in row.values():
                raise SourceError(f"{path}, line {rows.line_num}: item_id and label must be said.")
            if item in found:
                raise SourceError(f"{path}, line {rows.line_num}: {item} is corrected twice. Keep one line.")
            found[item] = Correction(label, row["by"])
    return found


def write(path: Path, corrections: Mapping[str, Correction]) -> None:
    with writing_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for item, correction in sorted(corrections.items()):
            rows.writerow([item, correction.label, correction.by])


def apply(
    path: Path, labels: np.ndarray, item_ids: Sequence[str], classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The labels as corrected, int64 (N,), and which of them a person spoke of, bool (N,).

    labels: int64 (N,), indices of classes; item_ids: of the N items
    A correction may confirm the label that is there. SourceError names the item or class that is unknown.
    """
    names = LabelNames(path, item_ids, classes)
    corrected, settled = labels.copy(), np.zeros(len(labels), dtype=bool)
    for item, correction in read(path).items():
        row = names.row(item)
        corrected[row], settled[row] = names.index(correction.label, item), True
    return corrected, settled
