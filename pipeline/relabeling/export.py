"""The queue as a file for people: tasks for Label Studio, or a table."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

from pipeline.core.artifacts import sha256, writing_file
from pipeline.core.errors import DiskFull, ParameterError, is_disk_full
from pipeline.relabeling import label_studio, labelled
from pipeline.relabeling.labelled import Doubt

SUFFIX = {"label-studio": ".json", "csv": ".csv"}


def write_csv(out: Path, doubts: Sequence[Doubt]) -> None:
    """The columns of queue.csv, of those that wait."""
    with _writing(out) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(labelled.COLUMNS)
        rows.writerows(astuple(doubt) for doubt in doubts)


def write_label_studio(
    out: Path,
    doubts: Sequence[Doubt],
    classes: Sequence[str],
    picture: Callable[[str], bytes],
    queue: Path,
) -> Path:
    """Tasks in `out` and the labeling config beside it; returns where the config is.

    Predictions are named after `queue`, so that those of different audits can be told apart.
    """
    config = out.with_suffix(".config.xml")
    tasks = label_studio.tasks(doubts, picture, f"label audit {sha256(queue)[:8]}")
    with _writing(out) as partial:
        partial.write_text(json.dumps(tasks, indent=1, ensure_ascii=False), encoding="utf-8")
    with _writing(config) as partial:
        partial.write_text(label_studio.config(classes), encoding="utf-8")
    return config


@contextmanager
def _writing(out: Path) -> Iterator[Path]:
    try:
        with writing_file(out) as partial:
            yield partial
    except OSError as error:
        refused = DiskFull if is_disk_full(error) else ParameterError
        raise refused(f"--out {out} cannot be written: {error.strerror}.") from error
