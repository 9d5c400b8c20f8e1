"""Tables of an evaluation as `dvc plots` draws them: a folder for each kind of plot, all its files alike.

dvc.yaml declares the folders for every project, with the template of the kind (.dvc/plots/KIND.json). So a
new project and a new table are drawn without a word in dvc.yaml, and `dvc plots diff` lays two passes over
each other.
"""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.core.artifacts import writing_folder
from pipeline.testing.figures import Confusion, Figure, Intervals, Lines

Table = list[dict[str, str]]
# Folder of each kind of plot, and the columns of its files.
COLUMNS = {
    Lines: ("lines", ("line", "x", "y")),
    Intervals: ("intervals", ("name", "value", "low", "high")),
    Confusion: ("confusion", ("actual", "predicted", "items")),
}


def write(evaluation: Path, figures: Iterable[Figure], target: Path) -> None:
    """The tables among `figures` that lie in `evaluation`, in folders below `target`."""
    with writing_folder(target) as folder:
        for kind, _ in COLUMNS.values():
            (folder / kind).mkdir()
        for figure in figures:
            source = evaluation / f"{figure.name}.csv"
            if figure.plot is None or not source.is_file():
                continue
            kind, columns = COLUMNS[type(figure.plot)]
            with (folder / kind / source.name).open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(columns)
                writer.writerows(_rows(figure.plot, _read(source)))


def _read(path: Path) -> Table:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _rows(plot: Lines | Intervals | Confusion, table: Table) -> Iterator[tuple[object, ...]]:
    match plot:
        case Lines(x, y, by):
            columns = y or [name for name in table[0] if name not in (x, by)]
            yield from (
                (row[by] if by else name, row[x], row[name])
                for name in columns
                for row in table
                if row[name] != ""
            )
        case Intervals(name, value, low, high):
            yield from ((row[name], row[value], row[low], row[high]) for row in table if row[value] != "")
        case Confusion():
            classes = list(table[0])
            yield from (
                (actual, predicted, row[predicted])
                for actual, row in zip(classes, table, strict=True)
                for predicted in classes
                if row[predicted] != "0"
            )
