"""What is counted of the events while they pass; nothing of them is kept but who and what was named."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.tasks.recommendation.data.columns import day_numbers
from pipeline.tasks.recommendation.data.conversion import EPOCH
from pipeline.tasks.recommendation.data.tables import IdTypes
from pipeline.tasks.recommendation.parameters import Collect


class EventCounts:
    def __init__(self, collect: Collect, ids: IdTypes) -> None:
        self.first_week = collect.first_week
        self.kinds: Counter[str] = Counter()
        self.customers = pa.array([], ids["customer"])
        self.buyers = pa.array([], ids["customer"])
        self.products = pa.array([], ids["product"])
        self.latest: dict[str, datetime] = {}  # of each kind
        self.weeks_compared = self.week_mismatches = 0
        self.first: datetime | None = None
        self.last: datetime | None = None

    def watch(self, batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Passes batches of the event table on, counting them."""
        for batch in batches:
            if batch.num_rows:
                self._count(batch)
            yield batch

    def _count(self, batch: pa.Table) -> None:
        for kind, count in _value_counts(batch["kind"]).items():
            self.kinds[kind] += count
            last = pc.max(batch.filter(pc.equal(batch["kind"], kind))["time"]).as_py()
            if last is not None:
                self.latest[kind] = max(self.latest.get(kind, last), last)
        self.customers = _with(self.customers, batch["customer"])
        self.products = _with(self.products, batch["product"])
        purchases = batch.filter(pc.equal(batch["kind"], "purchase"))
        self.buyers = _with(self.buyers, purchases["customer"])
        span = pc.min_max(purchases["time"]).as_py()
        if span["min"] is not None:
            self.first = min(self.first or span["min"], span["min"])
            self.last = max(self.last or span["max"], span["max"])
        self._compare_weeks(batch)

    def _compare_weeks(self, batch: pa.Table) -> None:
        """Whether the week that the source says is that of the local time."""
        dated = batch.filter(pc.and_(pc.is_valid(batch["week"]), pc.is_valid(batch["time"])))
        if self.first_week is None or not dated.num_rows:
            return
        week = (day_numbers(dated["time"]) - (self.first_week - EPOCH).days) // 7 + 1
        self.weeks_compared += dated.num_rows
        self.week_mismatches += int((week != np.asarray(dated["week"])).sum())

    def latest_days(self) -> dict[str, int]:
        """Of each kind, the day of the last event so far, in days since 1970-01-01."""
        return {kind: (last.date() - EPOCH).days for kind, last in self.latest.items()}

    def as_json(self) -> dict[str, Any]:
        return {
            "kinds": dict(self.kinds),
            "customers": len(self.buyers),
            "first_purchase": self.first and self.first.isoformat(sep=" "),
            "last_purchase": self.last and self.last.isoformat(sep=" "),
            "weeks_compared": self.weeks_compared,
            "week_mismatches": self.week_mismatches,
        }


def _value_counts(column: pa.ChunkedArray) -> dict[str, int]:
    counted = pc.value_counts(column.cast(pa.string()))
    return {entry["values"]: entry["counts"] for entry in counted.to_pylist()}


def _with(known: pa.Array, more: pa.ChunkedArray) -> pa.Array:
    """The distinct values of both, without null."""
    fresh = pc.unique(more).drop_null()
    return pc.unique(pa.concat_arrays([known, fresh.cast(known.type)]))
