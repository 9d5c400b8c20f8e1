"""From a source's own columns to a table of the schema, batch by batch."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.errors import SourceError
from pipeline.tasks.recommendation.data import columns as convert
from pipeline.tasks.recommendation.data import formats, tables
from pipeline.tasks.recommendation.data.tables import IdTypes

EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Opened:
    """A source whose file is there and has the columns that params.yaml names."""

    source: Any
    path: Path
    types: dict[str, pa.DataType]

    def named(self, name: str) -> list[str]:
        """The source's columns behind a name of the schema; none, one or several."""
        found = getattr(self.source.columns, name, None)
        return [] if found is None else [found] if isinstance(found, str) else list(found)

    @property
    def wanted(self) -> list[str]:
        """Every column of the source that params.yaml names, once."""
        named = [c for name in type(self.source.columns).model_fields for c in self.named(name)]
        kinds = getattr(self.source, "kinds", None)
        others = [*getattr(self.source, "attributes", ()), *([kinds.column] if kinds else [])]
        return list(dict.fromkeys([*named, *others]))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Batches of about tables.ROWS rows of the wanted columns."""
        yield from formats.batches(self.path, self.source.format, self.wanted, tables.ROWS)

    def where(self, column: str) -> str:
        return f"{self.source.name}: column {column!r}"


class Batch:
    """The columns of one batch of a source, by the names of the schema."""

    def __init__(self, opened: Opened, batch: pa.RecordBatch, ids: IdTypes) -> None:
        self.opened, self.batch, self.id_types = opened, batch, ids

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def raw(self, name: str) -> list[tuple[pa.Array, str]]:
        return [(self.batch.column(c), self.opened.where(c)) for c in self.opened.named(name)]

    def ids(self, name: str) -> pa.Array:
        kind = self.id_types[name]
        return next((convert.ids(c, kind, where) for c, where in self.raw(name)), self.nulls(kind))

    def texts(self, name: str) -> pa.Array:
        """Several columns are joined by a space, leaving out what is missing."""
        parts = [convert.texts(column, where) for column, where in self.raw(name)]
        if not parts:
            return self.nulls(pa.string())
        if len(parts) == 1:
            return parts[0]
        # Not null_handling="skip": pyarrow 25 loses the rows in which all parts are missing.
        joined = pc.binary_join_element_wise(*(pc.fill_null(part, "") for part in parts), " ")
        return convert.texts(pc.replace_substring_regex(joined, " {2,}", " "), "")

    def figures(self, name: str, missing: float | None) -> pa.Array:
        """Several columns are added up; `missing` where the source has no such column at all."""
        parts = [convert.figures(column, where) for column, where in self.raw(name)]
        if not parts:
            return self.constant(missing, pa.float64())
        if len(parts) == 1:
            return parts[0]
        parts = [pc.fill_null(part, 0.0) for part in parts]
        total = parts[0]
        for part in parts[1:]:
            total = pc.add(total, part)
        return total

    def whole(self, name: str) -> pa.Array:
        return next((convert.whole(c, where) for c, where in self.raw(name)), self.nulls(pa.int64()))

    def days(self, name: str) -> pa.Array:
        return next((convert.days(c, where) for c, where in self.raw(name)), self.nulls(pa.date32()))

    def flags(self, name: str, none: Sequence[str]) -> pa.Array:
        """True where there is a value, and not one of `none`."""
        for column, where in self.raw(name):
            encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
            texts = convert.texts(encoded.dictionary, where)
            there = pc.and_(pc.is_valid(texts), pc.invert(pc.is_in(texts, pa.array(none, pa.string()))))
            return pc.fill_null(there.take(encoded.indices), False)
        return self.constant(False, pa.bool_())

    def nulls(self, kind: pa.DataType) -> pa.Array:
        return pa.nulls(len(self), kind)

    def constant(self, value: Any, kind: pa.DataType) -> pa.Array:
        return pa.repeat(pa.scalar(value, kind), len(self))

    def name(self, value: str) -> pa.Array:
        return pa.DictionaryArray.from_arrays(np.zeros(len(self), np.int32), pa.array([value]))


def open_source(source: Any, path: Path) -> Opened:
    """SourceError where the file lacks a column that params.yaml names."""
    opened = Opened(source, path, formats.column_types(path, source.format))
    for column in opened.wanted:
        if column not in opened.types:
            close = difflib.get_close_matches(column, opened.types, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise SourceError(
                f"{source.name}: {path.name} has no column {column!r}{hint}. There are: "
                f"{', '.join(opened.types)}. Correct collect.sources ({source.name}) in params.yaml."
            )
    return opened


def id_types(opened: Sequence[Opened]) -> IdTypes:
    """int64 for what every source names by whole numbers, else text; the same in all tables."""
    found: dict[str, pa.DataType] = dict.fromkeys(tables.ENTITIES, pa.int64())
    for one in opened:
        for entity in tables.ENTITIES:
            for column in one.named(entity):
                if found[entity] == pa.int64() and not _is_integer(one, column):
                    found[entity] = pa.string()
    return found


def _is_integer(opened: Opened, column: str) -> bool:
    kind, typed = opened.types[column], formats.is_typed(opened.source.format)
    if typed and not pa.types.is_floating(kind):  # pandas makes floats of integers where some are missing
        return bool(pa.types.is_integer(kind) or pa.types.is_null(kind))
    batches = formats.batches(opened.path, opened.source.format, [column], tables.ROWS)
    return all(convert.is_integer(batch.column(0)) for batch in batches)


def week_start(weeks: pa.Array, first_week: date | None) -> pa.Array:
    """date32: first day of the weeks of these numbers; week 1 begins on `first_week`."""
    assert first_week is not None  # parameters.py: needed where weeks are numbered
    days = pc.add(pc.multiply(pc.subtract(weeks, 1), 7), (first_week - EPOCH).days)
    return pc.cast(pc.cast(days, pa.int32()), pa.date32())
