"""How the files that an evaluation leaves are shown: in the report, and by `dvc plots`.

A task says it in pipeline/tasks/TASK/figures.py. Pictures and tables without an entry are shown in the report
under the names of their files, after the others; an entry whose files were not written is passed over.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Lines:
    """Columns against another, which is a number. y: empty: all others; by: the column that says to which
    line a row belongs, of a table that has the points of several lines below each other"""

    x: str
    y: tuple[str, ...] = ()
    by: str | None = None


@dataclass(frozen=True)
class Intervals:
    """A figure a row. low, high: columns of its interval; empty cells are left out"""

    name: str
    value: str
    low: str
    high: str


@dataclass(frozen=True)
class Confusion:
    """A square of counts below a header of classes: a row for each true class, a column for each answer."""


@dataclass(frozen=True)
class Figure:
    """NAME.png, NAME.csv or both in reports/P/evaluation. caption: how to read it; plot: how `dvc plots`
    draws the table; None: not at all"""

    name: str
    title: str
    caption: str
    plot: Lines | Intervals | Confusion | None = None
