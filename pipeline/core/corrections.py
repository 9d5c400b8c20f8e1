"""Corrections of labels: a small file in git for each project, labels/P.csv. Raw data is never edited.

Columns: item_id, label (name of a class), by (who said so); one row an item, sorted by item_id.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.artifacts import writing_file
from pipeline.core.errors import SourceError

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
