"""One batch of a source as rows of a table of the schema (data/tables.py)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.errors import SourceError
from pipeline.tasks.recommendation.data import columns, tables
from pipeline.tasks.recommendation.data.conversion import Batch, week_start
from pipeline.tasks.recommendation.data.tables import IdTypes
from pipeline.tasks.recommendation.parameters import Collect


def events(batch: Batch, places: np.ndarray, collect: Collect) -> pa.Table:
    """places: int64 (N,), number of each row in its source."""
    source = batch.opened.source
    found: dict[str, pa.Array] = {
        "source": batch.name(source.name),
        "source_index": places,
        "kind": batch.name(source.event) if source.event else _kinds(batch),
        "time": _time(batch, collect),
        "week": batch.whole("week"),
        "quantity": batch.figures("quantity", missing=1.0),
        "value": batch.figures("value", missing=0.0),
        "discount": pc.fill_null(batch.figures("discount", missing=0.0), 0.0),
    }
    found |= {entity: batch.ids(entity) for entity in tables.ENTITIES}
    return _as(tables.events(batch.id_types), found)


def _kinds(batch: Batch) -> pa.Array:
    kinds = batch.opened.source.kinds
    where = batch.opened.where(kinds.column)
    said = columns.texts(batch.batch.column(kinds.column), where)
    place = pc.index_in(said, pa.array(list(kinds.values), pa.string()))
    unknown = said.filter(pc.is_null(place))
    if len(unknown):
        raise SourceError(
            f"{where} says {unknown[0].as_py()!r}, which is not among kinds.values "
            f"({', '.join(kinds.values)}) in params.yaml. Say there which kind of event it is."
        )
    return pa.array(list(kinds.values.values())).take(place).dictionary_encode()


def _time(batch: Batch, collect: Collect) -> pa.Array:
    ((column, where),) = batch.raw("time")
    if batch.opened.source.resolution == "day":
        return pc.cast(columns.days(column, where), tables.MOMENT)
    return columns.moments(column, collect.timezone.recorded, collect.timezone.local, where)


def exposures(campaigns: pa.Table, source: str, ids: IdTypes) -> pa.Table:
    """Events of kind exposure: a customer received a campaign, on the day on which it began."""
    received = campaigns.filter(pc.is_valid(campaigns["customer"]))
    count = received.num_rows
    found: dict[str, Any] = {
        "source": _repeated(source, count),
        "source_index": np.arange(count),
        "kind": _repeated("exposure", count),
        "customer": received["customer"],
        "time": pc.cast(received["start"], tables.MOMENT),
        "campaign": received["campaign"],
        "quantity": np.ones(count),
        "value": np.zeros(count),
        "discount": np.zeros(count),
    }
    schema = tables.events(ids)
    return _as(schema, {name: pa.nulls(count, schema.field(name).type) for name in schema.names} | found)


def products(batch: Batch) -> pa.Table:
    """A product without a name is called by its type, category, department or, at last, its id."""
    product = batch.ids("product")
    described = {name: batch.texts(name) for name in tables.DESCRIBED}
    described["name"] = pc.coalesce(
        *(described[name] for name in ("name", "type", "category", "department")), _called_by_id(product)
    )
    return _as(tables.products(batch.id_types), {"product": product} | described)


def unlisted_products(product: pa.Array, ids: IdTypes) -> pa.Table:
    """A catalogue made of ids alone, where no source has one."""
    schema = tables.products(ids)
    found = {name: pa.nulls(len(product), pa.string()) for name in tables.DESCRIBED}
    found["name"] = _called_by_id(product)
    return _as(schema, {"product": product} | found)


def customers(batch: Batch) -> pa.Table:
    attributes = batch.opened.source.attributes
    found = {name: columns.texts(batch.batch.column(name), batch.opened.where(name)) for name in attributes}
    schema = tables.customers(batch.id_types, attributes)
    return _as(schema, {"customer": batch.ids("customer")} | found)


def everyone(described: Sequence[pa.Table], seen: pa.Array, ids: IdTypes) -> pa.Table:
    """All customers: those described by a source, and those `seen` elsewhere without attributes."""
    empty = tables.customers(ids, ()).empty_table()
    known = pa.concat_tables([empty, *described], promote_options="default")
    others = pc.filter(seen, pc.invert(pc.is_in(seen, known["customer"])))
    return pa.concat_tables([known, pa.table({"customer": others})], promote_options="default")


def promotions(batch: Batch, collect: Collect) -> pa.Table:
    by_date = bool(batch.raw("start"))
    start = batch.days("start") if by_date else week_start(batch.whole("week"), collect.first_week)
    none = batch.opened.source.none
    found = {name: batch.flags(name, none) for name in ("display", "mailer")}
    found |= {entity: batch.ids(entity) for entity in ("product", "store")} | {"start": start}
    return _as(tables.promotions(batch.id_types), found)


def campaigns(batch: Batch) -> pa.Table:
    found = {entity: batch.ids(entity) for entity in ("campaign", "customer")}
    found |= {"start": batch.days("start"), "end": batch.days("end"), "type": batch.texts("type")}
    return _as(tables.campaigns(batch.id_types), found)


def joined_campaigns(parts: Sequence[pa.Table], ids: IdTypes) -> pa.Table:
    """Who received a campaign (one row a customer), with what rows without a customer say of it."""
    rows = pa.concat_tables([tables.campaigns(ids).empty_table(), *parts])
    described = rows.filter(pc.is_null(rows["customer"]))
    received = rows.filter(pc.is_valid(rows["customer"]))
    place = pc.index_in(received["campaign"], described["campaign"])
    for name in ("start", "end", "type"):
        filled = pc.coalesce(received[name], described[name].take(place))
        received = received.set_column(received.schema.get_field_index(name), name, filled)
    nobody = described.filter(pc.invert(pc.is_in(described["campaign"], received["campaign"])))
    return pa.concat_tables([received, nobody])


def coupons(batch: Batch) -> pa.Table:
    schema = tables.coupons(batch.id_types)
    return _as(schema, {entity: batch.ids(entity) for entity in schema.names})


def _called_by_id(product: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(pa.scalar("product"), pc.cast(product, pa.string()), " ")


def _repeated(name: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array([name]))


def _as(schema: pa.Schema, found: dict[str, Any]) -> pa.Table:
    return pa.table({name: found[name] for name in schema.names}, schema=schema)
