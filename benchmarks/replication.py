"""A shop several times over, as raw tables: every customer again under another id, with the same purchases
in other baskets at other times.

The first copy is the shop as it is. In each further one a customer's purchases all move by the same 1 to
3 days and each basket by 1 to 20 minutes, either way, so that nothing is an exact copy while the share of
baskets that share a day, the weeks and the gaps between baskets stay what they are. Who would leave
the period (or, by the minutes, the day) keeps it. Tables are streamed, whatever the factor.
"""

import copy
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.core.artifacts import sha256
from pipeline.tasks.recommendation.data import tables
from pipeline.tasks.recommendation.data.asking import KINDS
from pipeline.tasks.recommendation.data.columns import SECONDS_A_DAY, seconds
from pipeline.tasks.recommendation.data.conversion import EPOCH

DAYS, MINUTES = 3, 20  # a customer, a basket is moved by so many at most
# Columns of the event table that are those of a source too.
EVENT = ("customer", "product", "time", "basket", "store", "week", "quantity", "value", "discount",
         "coupon", "campaign")  # fmt: skip
CAMPAIGN = ("campaign", "customer", "start", "end", "type")
REPLACED = ("events", "customers", "campaigns")  # tables that grow with the customers


def write(collected: Path, raw: Path, factor: int, section: dict[str, Any]) -> None:
    """Writes events.parquet, customers.parquet and campaigns.parquet into `raw`.

    collected: data/P/collected; section: the project's in params.yaml
    """
    raw.mkdir(parents=True)
    sources = [one["name"] for one in section["collect"]["sources"] if one["table"] == "events"]
    steps = {"customer": step(collected / tables.CUSTOMERS, "customer"),
             "basket": step(collected / tables.EVENTS, "basket")}  # fmt: skip
    for name in (tables.EVENTS, tables.CUSTOMERS, tables.CAMPAIGNS):
        with pq.ParquetFile(collected / name) as file:
            columns = [c for c in file.schema_arrow.names if c not in ("source", "source_index")]
            schema = pa.schema([file.schema_arrow.field(c) for c in columns])
            copies = _copies(file, factor, steps, sources, section["collect"])
            tables.write(raw / name, schema, (batch.select(columns) for batch in copies))


def _copies(
    file: pq.ParquetFile,
    factor: int,
    steps: dict[str, int | None],
    sources: list[str],
    collect: dict[str, Any],
) -> Iterator[pa.Table]:
    for number in range(factor):
        for batch in file.iter_batches(batch_size=tables.ROWS):
            table = pa.Table.from_batches([batch])
            if "source" in table.column_names:  # exposures are made of the campaigns again
                table = table.filter(pc.is_in(table["source"].cast(pa.string()), pa.array(sources)))
            if number:
                # A campaign that nobody received stays one.
                table = _copy(table.filter(pc.is_valid(table["customer"])), number, steps, collect)
            yield table


def _copy(table: pa.Table, number: int, steps: dict[str, int | None], collect: dict[str, Any]) -> pa.Table:
    """The number-th copy of some rows, from 1."""
    if "time" in table.column_names:
        dated = table.filter(pc.is_valid(table["time"]))
        undated = table.filter(pc.is_null(table["time"]))
        table = pa.concat_tables([_moved(dated, number, collect), undated])
    for name, size in steps.items():
        if name in table.column_names:
            table = _with(table, name, renamed(table[name], number, size))
    return table


def _moved(table: pa.Table, number: int, collect: dict[str, Any]) -> pa.Table:
    before = seconds(table["time"])
    first, end = (_day(collect["period"][name]) for name in ("first", "end"))
    after = jittered(before, hashed(table["customer"]), hashed(table["basket"]), number, first, end)
    table = _with(table, "time", pc.cast(pa.array(after), pa.timestamp("s")))
    origin = _day(collect["first_week"]) if collect["first_week"] else 0
    weeks = [(time // SECONDS_A_DAY - origin) // 7 for time in (before, after)]
    return _with(table, "week", pc.add(table["week"], pa.array(weeks[1] - weeks[0])))


def _day(text: str) -> int:
    """A date of params.yaml in days since 1970-01-01."""
    return (date.fromisoformat(text) - EPOCH).days


def jittered(
    time: np.ndarray, customer: np.ndarray, basket: np.ndarray, number: int, first: int, end: int
) -> np.ndarray:
    """Times in the number-th copy, int64 (N,) seconds as `time`.

    customer, basket: uint64 (N,), hashes; first, end: days since 1970-01-01, first <= day < end
    """
    days = _either_way(_mixed(customer, number), DAYS)
    minutes = _either_way(_mixed(customer ^ _mixed(basket, number), number), MINUTES)
    day = time // SECONDS_A_DAY
    stays = (day < first) | (day >= end) | (day + days < first) | (day + days >= end)
    after = time + np.where(stays, 0, days) * SECONDS_A_DAY
    later = after + minutes * 60
    return np.where(later // SECONDS_A_DAY == after // SECONDS_A_DAY, later, after)


def renamed(ids: pa.ChunkedArray, number: int, size: int | None) -> pa.ChunkedArray:
    """The ids of the number-th copy. size: from `step`; None for ids that are text."""
    if size is None:
        return pc.binary_join_element_wise(ids, f"copy-{number}", "/")
    return pc.add_checked(ids, pa.scalar(number * size, pa.int64()))


def step(path: Path, column: str) -> int | None:
    """What whole ids of a copy are greater by than those of the one before; None where they are text."""
    low, high = [], []
    with pq.ParquetFile(path) as file:
        if not pa.types.is_integer(file.schema_arrow.field(column).type):
            return None
        for batch in file.iter_batches(batch_size=tables.ROWS, columns=[column]):
            span = pc.min_max(batch.column(0)).as_py()
            if span["min"] is not None:
                low.append(span["min"])
                high.append(span["max"])
    return max(high) - min(low) + 1 if low else 1


def hashed(ids: pa.ChunkedArray) -> np.ndarray:
    """uint64 (N,), the same for the same id in any batch; one value for null."""
    from pandas.util import hash_array

    nothing = 0 if pa.types.is_integer(ids.type) else ""
    return hash_array(pc.fill_null(ids, nothing).to_numpy())


def replicated(section: dict[str, Any], raw: Path, root: Path) -> dict[str, Any]:
    """The project's section with the tables in `raw` as sources in place of those that they replace.

    root: against which paths of files in `section` count
    """
    made = copy.deepcopy(section)
    collect = made["collect"]
    kept = [source for source in collect["sources"] if source["table"] not in REPLACED]
    for source in kept:
        if source["kind"] == "file":
            source["path"] = str((root / source["path"]).resolve())
    weeks: str | None = collect["first_week"]
    identity: dict[str, Any] = {name: name for name in EVENT}
    given: dict[str, dict[str, Any]] = {
        "events": {
            "event": None,
            "kinds": {"column": "kind", "values": {kind: kind for kind in KINDS}},
            "resolution": "second",
            "columns": identity | {"discount": ["discount"], "week": None if weeks is None else "week"},
        },
        "customers": {
            "columns": {"customer": "customer"},
            "attributes": [c for c in pq.read_schema(raw / tables.CUSTOMERS).names if c != "customer"],
        },
        "campaigns": {"columns": {name: name for name in CAMPAIGN}},
    }
    licence = collect["sources"][0]["licence"]
    for table, what in given.items():
        path = raw / f"{table}.parquet"
        if pq.read_metadata(path).num_rows:
            origin = {"kind": "file", "path": str(path), "sha256": sha256(path), "licence": licence}
            kept.append({"name": f"replicated-{table}", "format": "parquet", "table": table} | origin | what)
    collect["sources"] = kept
    # The collected times are local ones.
    collect["timezone"]["recorded"] = collect["timezone"]["local"]
    return made


def _with(table: pa.Table, name: str, values: Any) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(name), pc.cast(values, table.schema.field(name).type))


def _mixed(values: np.ndarray, number: int) -> np.ndarray:
    """uint64 (N,): well mixed bits of values and number (the finaliser of SplitMix64, Steele et al. 2014)."""
    # Python's own product: NumPy warns where a scalar wraps around, which is meant here.
    mixed = values + np.uint64(number * 0x9E3779B97F4A7C15 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _either_way(bits: np.ndarray, most: int) -> np.ndarray:
    """int64 (N,): from -most to most, never 0."""
    drawn = (bits % np.uint64(2 * most)).astype(np.int64) - most
    return drawn + (drawn >= 0)
