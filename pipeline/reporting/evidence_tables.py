"""Figures of any shape, as JSON, CSV and parameters hold them, as tables that a page can show.

What a task's evaluation leaves differs from task to task; its shape decides how it is shown:

a list of rows                          a table of these rows
a mapping of names to rows              the same, the name in the first column
a mapping of names to lists of numbers  a row for each name, the numbers side by side
a mapping of names to figures           two columns
What is deeper becomes tables of its own. An interval is shown behind its figure: `m_interval`, or `m_low` and
`m_high`, behind `m`; a plain `interval`, or `low` and `high`, behind the figure that stands before it.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
INTERVAL, LOW, HIGH = "interval", "low", "high"
PARTS_SHOWN = 12  # of a list in one cell


@dataclass(frozen=True)
class Table:
    """title: "" for the figures that stand alone; cells are text; left_out: rows beyond the limit"""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int


def words(name: Any) -> str:
    return str(name).replace("_", " ")


def shown(value: Any) -> str:
    """A figure, a name or a few of them as text; five significant digits."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.5g}" if math.isfinite(value) else "not a number"
        case Mapping():
            return ", ".join(f"{words(key)} {_inside(part)}" for key, part in value.items())
        case list() | tuple():
            more = f", … ({len(value)})" if len(value) > PARTS_SHOWN else ""
            return ", ".join(shown(part) for part in value[:PARTS_SHOWN]) + more
    return str(value)


def _inside(part: Any) -> str:
    return f"({shown(part)})" if isinstance(part, Mapping | list | tuple) else shown(part)


def with_interval(value: Any, interval: Sequence[float] | None) -> str:
    return f"{shown(value)} [{shown(interval[0])}, {shown(interval[1])}]" if interval else shown(value)


def tables(details: Row, rows_max: int) -> list[Table]:
    """All of `details`; figures that stand alone come first, in one table without a title."""
    return _of_mapping("", details, rows_max)


def pairs(title: str, values: Row, rows_max: int) -> Table:
    """Two columns: names and figures."""
    rows = tuple((words(name), text) for name, text in _cells(values).items())
    return Table(title, ("", ""), rows[:rows_max], max(0, len(rows) - rows_max))


def of_rows(title: str, rows: Sequence[Row], rows_max: int) -> Table:
    """A column for each name that any of the rows shown has."""
    cells = [_cells(row) for row in rows[:rows_max]]
    columns = tuple(dict.fromkeys(name for row in cells for name in row))
    filled = tuple(tuple(row.get(name, "") for name in columns) for row in cells)
    return Table(title, tuple(map(words, columns)), filled, max(0, len(rows) - rows_max))


def read_csv(path: Path, rows_max: int) -> Table:
    """A CSV file with a header; what a column that ends in `id` holds is a name, not a number."""
    with path.open(newline="") as file:
        rows = [
            {name: text if name.endswith("id") else _figure(text) for name, text in row.items()}
            for row in csv.DictReader(file)
        ]
    return of_rows("", rows, rows_max)


def intervals_of(row: Row) -> dict[str, tuple[Sequence[float], tuple[str, ...]]]:
    """Of each figure that has an interval in the row: the interval, and the names under which it stands."""
    names = list(row)
    found: dict[str, tuple[Sequence[float], tuple[str, ...]]] = {}
    for i, name in enumerate(names):
        places: list[tuple[str, ...]] = [(f"{name}_{INTERVAL}",), (f"{name}_{LOW}", f"{name}_{HIGH}")]
        behind = ((INTERVAL,), (LOW, HIGH))
        places += [place for place in behind if tuple(names[i + 1 :][: len(place)]) == place]
        for place in places:
            ends: Any = row.get(place[0]) if len(place) == 1 else [row.get(end) for end in place]
            if _is_around(ends, row[name]):
                found[name] = ends, place
    return found


def _of_mapping(title: str, values: Row, rows_max: int) -> list[Table]:
    flat = {name: value for name, value in values.items() if not _has_parts(value)}
    found = [pairs(title, flat, rows_max)] if flat else []
    for name, value in values.items():
        if _has_parts(value):
            found += _of_parts(f"{title}: {words(name)}" if title else words(name), value, rows_max)
    return found


def _of_parts(title: str, value: Any, rows_max: int) -> list[Table]:
    if isinstance(value, list):
        return [of_rows(title, value, rows_max)]
    parts = value.values()
    if all(isinstance(part, Mapping) and part and not any(map(_has_parts, part.values())) for part in parts):
        return [of_rows(title, [{"": name} | _spread(part) for name, part in value.items()], rows_max)]
    if all(_is_numbers(part) for part in parts):
        rows = [{"": name} | {str(i): x for i, x in enumerate(part)} for name, part in value.items()]
        return [of_rows(title, rows, rows_max)]
    return _of_mapping(title, value, rows_max)


def _spread(row: Row) -> dict[str, Any]:
    """A figure that is written as [value, low, high] becomes a figure and its interval."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if _is_numbers(value) and len(value) == 3 and _is_around(value[1:], value[0]):
            found |= {name: value[0], f"{name}_{INTERVAL}": value[1:]}
        else:
            found[name] = value
    return found


def _cells(row: Row) -> dict[str, str]:
    """The row's cells as text, each interval behind its figure."""
    intervals = intervals_of(row)
    hidden = {name for _, places in intervals.values() for name in places}
    return {
        name: with_interval(value, intervals[name][0] if name in intervals else None)
        for name, value in row.items()
        if name not in hidden
    }


def _has_parts(value: Any) -> bool:
    return bool(value) and (isinstance(value, Mapping) or _is_rows(value))


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(map(_is_figure, value))


def _is_around(interval: Any, value: Any) -> bool:
    return (
        _is_numbers(interval)
        and len(interval) == 2
        and _is_figure(value)
        and interval[0] <= value <= interval[1]
    )


def _figure(text: str | None) -> Any:
    for kind in (int, float):
        try:
            return kind(text)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
    return text
