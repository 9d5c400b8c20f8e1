"""What the stage `label` left in data/P/labelled/: the queue of doubtful labels, and every given label."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from pipeline.core.errors import SourceError
from pipeline.core.paths import Paths
from pipeline.labels import corrections


@dataclass(frozen=True)
class Doubt:
    """A row of queue.csv, worst first.

    given, suggested: names of classes; score: of the given label by the audit, in [0, 1], low is
    doubtful; split: published part of the source; rank: place in the queue, from 1
    """

    item_id: str
    source: str
    source_index: int
    split: str
    given: str
    suggested: str
    score: float
    rank: int


COLUMNS = tuple(field.name for field in fields(Doubt))


@dataclass(frozen=True)
class Queue:
    """waiting: those that nobody has corrected or confirmed yet; decided: how many somebody has."""

    waiting: list[Doubt]
    decided: int


def queue_file(paths: Paths) -> Path:
    return paths.labelled / "queue.csv"


def read_queue(paths: Paths, classes: Sequence[str]) -> Queue:
    """SourceError where there is no queue, or one that was made for other classes."""
    path = queue_file(paths)
    _refuse_missing(path, paths)
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            raise SourceError(
                f"{path}: its columns are {', '.join(rows.fieldnames or ())}; they must be "
                f"{', '.join(COLUMNS)}. {_again(paths)}"
            )
        doubts = [
            Doubt(
                item_id=row["item_id"],
                source=row["source"],
                source_index=int(row["source_index"]),
                split=row["split"],
                given=row["given"],
                suggested=row["suggested"],
                score=float(row["score"]),
                rank=int(row["rank"]),
            )
            for row in rows
        ]
    for doubt in doubts:
        for label in (doubt.given, doubt.suggested):
            if label not in classes:
                raise SourceError(
                    f"{path}: {doubt.item_id} has the label {label!r}; the classes in params.yaml are "
                    f"{', '.join(classes)}. {_again(paths)}"
                )
    known = corrections.read(paths.corrections)
    waiting = [doubt for doubt in doubts if doubt.item_id not in known]
    return Queue(waiting, len(doubts) - len(waiting))


def read_given(paths: Paths, classes: Sequence[str]) -> dict[str, str]:
    """item_id -> name of the class that the source gave, of every item."""
    import pyarrow.parquet as pq

    path = paths.labelled / "labels.parquet"
    _refuse_missing(path, paths)
    table = pq.read_table(path, columns=["item_id", "given"])
    given = table["given"].to_pylist()
    if max(given, default=0) >= len(classes):
        raise SourceError(
            f"{path}: it was made for {max(given) + 1} classes or more; params.yaml has {len(classes)}. "
            f"{_again(paths)}"
        )
    return {item: classes[label] for item, label in zip(table["item_id"].to_pylist(), given, strict=True)}


def _refuse_missing(path: Path, paths: Paths) -> None:
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file yet. {_again(paths)}")


def _again(paths: Paths) -> str:
    return f"Run `dvc repro label@{paths.project}`."
