"""`fullcycle harvest`: the events that the service heard of become data of the inbox, a file a day.

They are copied: the service reads its log when it starts, so they stay there, too. An event has an id, and
what is in the inbox already is not added again.
"""

import argparse
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.core import parameters
from pipeline.core.artifacts import writing_file
from pipeline.core.errors import SourceError
from pipeline.core.paths import Paths
from pipeline.log import harvesting, prediction_log
from pipeline.tasks.recommendation.data.formats.captures import FOLDER, SCHEMA

AGAIN = timedelta(days=1)  # before the newest day, of which a slow transaction may have brought more


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It needs to know the project alone."""


def run(arguments: argparse.Namespace, paths: Paths) -> list[str]:
    """Returns what was done, in lines for the person who asked. Errors: log/harvesting.py's; SourceError: a
    file of the inbox cannot be read, and was not changed."""
    project: Any = parameters.load(paths.root / "params.yaml", paths.project)
    with harvesting.harvesting(paths) as (log_url, folder):
        days = dict(_added(log_url, paths.project, folder / FOLDER))
    told = [f"{paths.project}: added to {folder}: events: {sum(days.values()):,}, days: {len(days)}."]
    return [*told, harvesting.next_step(project.collect.sources, paths.project)]


def erase(folder: Path, *, prediction: str | None, customer: str | None) -> int:
    """Removes the events of a customer, or those that are feedback on one list, from the inbox; returns how
    many there were."""
    column, value = ("customer", customer) if prediction is None else ("prediction_id", prediction)
    erased = 0
    for path in _days(folder / FOLDER):
        known = _read(path)
        kept = known.filter(pc.fill_null(pc.not_equal(known[column], value), True))
        if not len(kept):
            path.unlink()
        elif len(kept) < len(known):
            _write(path, kept)
        erased += len(known) - len(kept)
    return erased


def _added(log_url: str, project: str, folder: Path) -> Iterator[tuple[date, int]]:
    """Of each day on which something new was heard, how many events."""
    days = [date.fromisoformat(path.stem) for path in _days(folder)]
    since = datetime.combine(max(days) - AGAIN, time(), UTC) if days else None
    heard = prediction_log.read_events(log_url, since, project=project)
    for day, events in groupby(heard, key=lambda event: event["at"].date()):
        new = _add(folder / f"{day}.parquet", list(events))
        if new:
            yield day, new


def _add(path: Path, events: list[dict[str, Any]]) -> int:
    known = _read(path) if path.is_file() else SCHEMA.empty_table()
    ids = set(known["id"].to_pylist())
    new = [event for event in events if event["id"] not in ids]
    if new:
        _write(path, pa.concat_tables([known, pa.Table.from_pylist(new, SCHEMA)]))
    return len(new)


def _days(folder: Path) -> list[Path]:
    """The files that are named by a day, the first day first; people may add others."""
    return sorted(path for path in folder.glob("????-??-??.parquet") if _is_day(path.stem))


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path).select(SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowException, KeyError) as error:
        raise SourceError(f"{path}: is no table of events ({error}). Correct or remove it.") from None


def _write(path: Path, events: pa.Table) -> None:
    with writing_file(path) as partial:
        pq.write_table(events.sort_by([("at", "ascending"), ("id", "ascending")]), partial)
