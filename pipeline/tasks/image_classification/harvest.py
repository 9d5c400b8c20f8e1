"""`fullcycle harvest`: captured pictures, and what feedback says of them, become data of the inbox.

Pictures are moved: the prediction log holds them until the inbox does, so that each lies in one place and
none comes back that somebody removed. Feedback is copied, also when it comes long after its picture; what
people wrote into labels.csv is never changed.
"""

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import select

from pipeline.core import parameters
from pipeline.core.artifacts import writing_file
from pipeline.core.errors import SourceError
from pipeline.core.paths import Paths
from pipeline.log import forgetting, harvesting, prediction_log
from pipeline.tasks.image_classification.data.formats.captures import COLUMNS, LABELS

PART = 500  # pictures, or ids, of one query
BY = "feedback"


@dataclass
class Labels:
    """labels.csv. columns: those of the format, and what people added; rows: a value for each."""

    columns: list[str]
    rows: list[dict[str, str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It needs to know the project alone."""


def run(arguments: argparse.Namespace, paths: Paths) -> list[str]:
    """Returns what was done, in lines for the person who asked. Errors: log/harvesting.py's; SourceError:
    labels.csv cannot be read, and nothing was changed."""
    project: Any = parameters.load(paths.root / "params.yaml", paths.project)
    with harvesting.harvesting(paths) as (log_url, folder):
        labels = read(folder / LABELS)
        pictures = sum(_moved(log_url, paths.project, folder, labels))
        labelled = _labelled(log_url, labels)
        if labelled:
            write(folder / LABELS, labels)
    waiting = sum(not row["label"] for row in labels.rows)
    told = [
        f"{paths.project}: pictures moved into {folder}: {pictures:,}; labelled by feedback: {labelled:,}."
    ]
    if waiting:
        told.append(
            f"  Waiting for a label: {waiting:,}; write it (`label`), and who says so (`by`), into {LABELS}."
        )
    if project.serve.capture is None:
        told.append(f"  The service keeps no pictures: params.yaml: projects.{paths.project}.serve.capture.")
    return [*told, harvesting.next_step(project.collect.sources, paths.project)]


def erase(folder: Path, *, prediction: str | None, customer: str | None) -> int:
    """Removes a picture from the inbox, by the id of its answer; returns how many there were. Pictures
    have no customer."""
    labels = read(folder / LABELS)
    found = [row for row in labels.rows if prediction is not None and row["prediction_id"] == prediction]
    if found:
        labels.rows = [row for row in labels.rows if row not in found]
        write(folder / LABELS, labels)  # first, so that no row ever names a file that is not there
        for row in found:
            (folder / row["file"]).unlink(missing_ok=True)
    return len(found)


def read(path: Path) -> Labels:
    """Empty where there is no such file. SourceError: it is not as it must be."""
    if not path.is_file():
        return Labels(list(COLUMNS), [])
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            columns, rows = list(reader.fieldnames or ()), list(reader)
    except (csv.Error, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read as CSV in UTF-8 ({error}). Correct it.") from None
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise SourceError(f"{path}: no column {', '.join(missing)}. It must have {', '.join(COLUMNS)}.")
    long = next((i for i, row in enumerate(rows, start=1) if None in row), None)
    if long is not None:
        raise SourceError(
            f"{path}: row {long} has more than the {len(columns)} fields of the header. Correct it."
        )
    return Labels(columns, rows)


def write(path: Path, labels: Labels) -> None:
    with writing_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, labels.columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(labels.rows)


def _moved(log_url: str, project: str, folder: Path, labels: Labels) -> Iterator[int]:
    """Moves pictures, some at a time: file, row, and only then out of the log. A kill at any moment loses
    none and makes none twice. Yields how many new ones there were."""
    known = {row["prediction_id"] for row in labels.rows}
    captures = prediction_log.captures
    some = select(captures).where(captures.c.project == project).order_by(captures.c.at).limit(PART)
    while part := list(prediction_log.read_rows(log_url, some)):
        new = [capture for capture in part if capture["prediction_id"] not in known]
        labels.rows += [_brought(folder, capture) for capture in new]
        known.update(capture["prediction_id"] for capture in new)
        if new:
            write(folder / LABELS, labels)
        moved = captures.c.prediction_id.in_([capture["prediction_id"] for capture in part])
        forgetting.forget(log_url, [forgetting.Selection(captures, moved)], compact=False)
        yield len(new)


def _brought(folder: Path, capture: dict[str, Any]) -> dict[str, str]:
    """Writes the picture; returns its row."""
    file = f"pictures/{capture['at']:%Y-%m-%d}/{capture['prediction_id']}.png"
    with writing_file(folder / file) as partial:
        partial.write_bytes(capture["picture"])
    return {
        "file": file,
        "label": "",
        "by": "",
        "time": capture["at"].isoformat(),
        "prediction_id": capture["prediction_id"],
    }


def _labelled(log_url: str, labels: Labels) -> int:
    """Fills in what feedback says of pictures that nobody has labelled; returns of how many."""
    waiting = {row["prediction_id"]: row for row in labels.rows if row["prediction_id"] and not row["label"]}
    feedback = prediction_log.feedback
    ids, labelled = iter(waiting), 0
    while part := list(islice(ids, PART)):
        said = select(feedback).where(feedback.c.prediction_id.in_(part))
        for row in prediction_log.read_rows(log_url, said):
            waiting[row["prediction_id"]] |= {"label": row["label"], "by": BY}
            labelled += 1
    return labelled
