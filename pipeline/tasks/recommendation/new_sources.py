"""What params.yaml must say of a user's own files: which column is which, as far as that can be seen."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.artifacts import sha256
from pipeline.core.errors import ParameterError, SourceError
from pipeline.projects.new_project import place
from pipeline.tasks.recommendation import column_names
from pipeline.tasks.recommendation import source_parameters as declared

TABLES = {
    "events": declared.FileEvents,
    "products": declared.FileProducts,
    "customers": declared.FileCustomers,
    "promotions": declared.FilePromotions,
    "campaigns": declared.FileCampaigns,
    "coupons": declared.FileCoupons,
}
NEEDED = {
    "events": ("customer", "product", "time"),
    "products": ("product",),
    "customers": ("customer",),
    "promotions": ("product",),
    "campaigns": ("campaign",),
    "coupons": ("coupon", "product"),
}
FORMATS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv"}
ATTRIBUTE_VALUES_MAX = 50  # distinct values up to which a customer's column can describe it
NO_PROMOTION = ["0", "", "false", "False", "no", "none"]
Said = Mapping[tuple[str, str], list[str]]  # (table, name of the schema): columns, as the user says


def described(table: str, path: Path, arguments: argparse.Namespace, root: Path) -> dict[str, Any]:
    """The source of params.yaml that reads `path` as `table`; ParameterError where the user must help."""
    from pipeline.tasks.recommendation.data import formats

    file_format = FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise ParameterError(f"{path}: is neither {' nor '.join(FORMATS)}; bring the table in one of these.")
    if not path.is_file():
        raise SourceError(f"{path}: no such file.")
    types = formats.column_types(path, file_format)
    columns = _columns(table, path, list(types), said(arguments.column))
    source: dict[str, Any] = {
        "name": table,
        "kind": "file",
        "path": place(path, root),
        "sha256": sha256(path),
        "licence": arguments.licence,
        "format": file_format,
        "table": table,
    }
    if table == "events":
        source |= _kinds(path, file_format, list(types), columns, arguments)
        source["resolution"] = _resolution(path, file_format, columns["time"])
    source["columns"] = columns
    if table == "customers":
        source["attributes"] = _attributes(path, file_format, [c for c in types if c != columns["customer"]])
    if table == "promotions":
        source["none"] = NO_PROMOTION
    return source


def said(words: Sequence[str]) -> Said:
    """`[TABLE.]NAME=COLUMN[,COLUMN]` as the user says it; no column: there is none."""
    found: dict[tuple[str, str], list[str]] = {}
    for word in words:
        place, equals, columns = word.partition("=")
        table, dot, name = place.rpartition(".")
        tables = [table] if dot else list(TABLES)
        known = {t: _schema(t) for t in tables if t in TABLES}
        if not equals or not any(name in names for names in known.values()):
            allowed = "; ".join(f"{t}: {', '.join(_schema(t))}" for t in TABLES)
            raise ParameterError(
                f"--column {word}: not understood. Write [TABLE.]NAME=COLUMN with one of {allowed}."
            )
        for t, names in known.items():
            if name in names:
                found[t, name] = [column for column in columns.split(",") if column]
    return found


def _schema(table: str) -> dict[str, bool]:
    """Names of the schema's columns, and whether several columns of a source may stand behind each."""
    source: Any = TABLES[table]
    fields = source.model_fields["columns"].annotation.model_fields
    return {name: info.annotation == declared.Columns for name, info in fields.items()}


def _columns(table: str, path: Path, there: list[str], told: Said) -> dict[str, Any]:
    found: dict[str, list[str]] = {}
    for name in _schema(table):
        given = told.get((table, name))
        elsewhere = given is not None and not set(given) <= set(there)  # meant for another table
        if given is not None and elsewhere and name in NEEDED[table] and not column_names.guess(name, there):
            raise ParameterError(f"{path}: has no column {given[0]!r}. There are: {', '.join(there)}.")
        found[name] = column_names.guess(name, there) if given is None or elsewhere else given
    if table == "events":
        found["week"] = told.get((table, "week"), [])  # a number that could mean any week
    if table == "products" and not found["name"]:
        found["name"] = [*found["type"], *found["size"]]
    if table == "promotions" and found["start"]:
        found["week"] = []
    needed = list(NEEDED[table])
    if table == "promotions" and not found["week"]:
        needed.append("start")
    missing = [name for name in needed if not found[name]]
    if missing:
        raise ParameterError(
            f"{path}: cannot tell which column is the {', the '.join(missing)} of `{table}`. Say it: "
            + " ".join(f"--column {table}.{name}=COLUMN" for name in missing)
            + f". There are: {', '.join(there)}."
        )
    return {
        name: columns if _schema(table)[name] else next(iter(columns), None)
        for name, columns in found.items()
    }


def _kinds(
    path: Path, file_format: str, there: list[str], columns: dict[str, Any], arguments: argparse.Namespace
) -> dict[str, Any]:
    """A column of kinds, if there is one; else every row is a purchase."""
    taken = {c for value in columns.values() for c in ([value] if isinstance(value, str) else value or [])}
    spelled = dict(word.split("=", 1) for word in arguments.kind if "=" in word)
    for column in column_names.guess("kind", [c for c in there if c not in taken]):
        words = _distinct(path, file_format, column, ATTRIBUTE_VALUES_MAX)
        meant = {str(word): spelled.get(str(word)) or column_names.kind_of(str(word)) for word in words or []}
        if not any(meant.values()):
            continue
        unknown = [word for word, kind in meant.items() if kind is None]
        if unknown:
            raise ParameterError(
                f"{path}: column {column!r} says {', '.join(map(repr, unknown))}; which kind of event is "
                f"that? Say it: {' '.join(f'--kind {word}=KIND' for word in unknown)}, KIND being one of "
                f"{', '.join(column_names.KINDS)}."
            )
        return {"event": None, "kinds": {"column": column, "values": meant}}
    return {"event": "purchase", "kinds": None}


def _resolution(path: Path, file_format: str, column: str) -> str:
    """`day` where all times of the first batch are midnights or plain dates."""
    import pyarrow as pa

    from pipeline.tasks.recommendation.data import columns, formats, tables

    for batch in formats.batches(path, file_format, [column], tables.ROWS):
        values = batch.column(0)
        if pa.types.is_integer(values.type):
            return "second"
        seconds = columns.seconds(
            columns.moments(values, "UTC", "UTC", f"events: column {column!r}").drop_null()
        )
        return "second" if (seconds % columns.SECONDS_A_DAY).any() else "day"
    return "second"


def _attributes(path: Path, file_format: str, names: list[str]) -> list[str]:
    return [name for name in names if _distinct(path, file_format, name, ATTRIBUTE_VALUES_MAX) is not None]


def _distinct(path: Path, file_format: str, column: str, most: int) -> list[Any] | None:
    """The distinct values of a column, without null; None if there are more than `most`."""
    from pipeline.tasks.recommendation.data import formats, tables

    found: set[Any] = set()
    for batch in formats.batches(path, file_format, [column], tables.ROWS):
        found |= set(batch.column(0).unique().drop_null().to_pylist()) if len(batch) else set()
        if len(found) > most:
            return None
    return sorted(found)
