"""Collecting a shop: every source turned into the tables of data/tables.py, and counted."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import sources
from pipeline.core.artifacts import write_json
from pipeline.core.errors import SourceError
from pipeline.core.findings import Findings
from pipeline.core.gates import Gate
from pipeline.core.paths import Paths
from pipeline.tasks.recommendation.data import captured, conversion, table_rows, tables
from pipeline.tasks.recommendation.data.conversion import Batch, Opened
from pipeline.tasks.recommendation.data.event_counts import EventCounts
from pipeline.tasks.recommendation.parameters import Charter, Collect
from pipeline.tasks.recommendation.source_parameters import InboxEvents


def collect(params: Any, paths: Paths, folder: Path) -> Findings:
    """Writes the tables of collected/ (data/tables.py) and provenance.json.

    Long tables (events, promotions) pass through in batches and are never in memory whole.
    """
    collect: Collect = params.collect
    everything = [conversion.open_source(source, sources.fetch(source, paths)) for source in collect.sources]
    inboxes = [one for one in everything if isinstance(one.source, InboxEvents)]
    opened = [one for one in everything if not isinstance(one.source, InboxEvents)]
    ids = conversion.id_types(opened)
    rows = dict.fromkeys([one.source.name for one in everything], 0)
    left_out: Counter[str] = Counter()  # events of the inbox, by reason

    def batches(table: str, among: list[Opened] = opened) -> Iterator[Batch]:
        for one in among:
            if one.source.table == table:
                for record in one.batches():
                    yield Batch(one, record, ids)
                    rows[one.source.name] += record.num_rows

    def listed_events() -> Iterator[pa.Table]:
        for batch in batches("events"):
            first = rows[batch.opened.source.name]
            yield table_rows.events(batch, np.arange(first, first + len(batch)), collect)

    def captured_events() -> Iterator[pa.Table]:
        covered = counts.latest_days()  # by the other sources, which have passed by now
        for batch in batches("events", inboxes):
            first = rows[batch.opened.source.name]
            yield captured.events(batch, first, collect, covered, left_out)

    campaigns = table_rows.joined_campaigns([table_rows.campaigns(b) for b in batches("campaigns")], ids)
    tables.write(folder / tables.CAMPAIGNS, campaigns.schema, [campaigns])
    counts = EventCounts(collect, ids)
    exposures = [table_rows.exposures(campaigns, one, ids) for one in _senders(opened)]
    events = counts.watch(chain(listed_events(), exposures, captured_events()))
    tables.write(folder / tables.EVENTS, tables.events(ids), events)
    catalogue = [table_rows.products(batch) for batch in batches("products")]
    catalogue = catalogue or [table_rows.unlisted_products(counts.products, ids)]
    products = tables.write(folder / tables.PRODUCTS, tables.products(ids), catalogue)
    described = [table_rows.customers(batch) for batch in batches("customers")]
    customers = table_rows.everyone(described, counts.customers, ids)
    tables.write(folder / tables.CUSTOMERS, customers.schema, [customers])
    shown = (table_rows.promotions(batch, collect) for batch in batches("promotions"))
    promotions = tables.write(folder / tables.PROMOTIONS, tables.promotions(ids), shown)
    given = (table_rows.coupons(batch) for batch in batches("coupons"))
    coupons = tables.write(folder / tables.COUPONS, tables.coupons(ids), given)
    for name in (one.source.name for one in opened):
        if rows[name] == 0:
            raise SourceError(f"{name}: the file holds no rows. Bring one with data, or take the source out.")
    found = counts.as_json() | {"products": products, "promotions": promotions, "coupons": coupons}
    heard = sum(rows[one.source.name] for one in inboxes)
    write_json(folder / "provenance.json", _provenance(collect, everything, rows, found, left_out))
    return _findings(params.plan, found, len(everything), heard, left_out)


def _senders(opened: list[Opened]) -> list[str]:
    """The source after which exposures by campaigns are called: the first that names customers."""
    return [one.source.name for one in opened if one.source.table == "campaigns" and one.named("customer")][
        :1
    ]


def _provenance(
    collect: Collect,
    opened: list[Opened],
    rows: dict[str, int],
    found: dict[str, Any],
    left_out: Counter[str],
) -> dict[str, Any]:
    return {
        "items": sum(found["kinds"].values()),
        "note": collect.note,
        **found,
        "left_out": dict(left_out),
        "sources": [
            one.source.model_dump(mode="json", exclude={"columns"})
            | {"sha256": one.source.sha256 or sources.checksum(one.path), "rows": rows[one.source.name]}
            for one in opened
        ],
    }


def _findings(
    plan: Charter, found: dict[str, Any], sources: int, heard: int, left_out: Counter[str]
) -> Findings:
    """heard: events of the inbox; left_out: those of them that cannot be used, by reason"""
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in left_out.items() if count)
    told = f"; {heard:,} captured events, left out of them: {reasons or 'none'}" if heard else ""
    purchases, customers, products = found["kinds"].get("purchase", 0), found["customers"], found["products"]
    return Findings(
        summary=f"{purchases:,} purchase lines of {customers:,} customers, {products:,} products, "
        f"{found['promotions']:,} promotions from {sources} source(s){told}",
        metrics={
            **{f"events.{kind}": count for kind, count in found["kinds"].items()},
            "customers": customers,
            "products": products,
            "promotions": found["promotions"],
            "coupons": found["coupons"],
            "week_mismatches": found["week_mismatches"],
            "captured": heard,
            **{f"captured.{reason}": count for reason, count in left_out.items()},
        },
        gates=(
            Gate("items", purchases, "at least", plan.min_items, "planning",
                 "collect more purchases, or plan for less (plan.min_items)."),
            Gate("customers", customers, "at least", plan.min_customers, "planning",
                 "collect purchases of more customers, or plan for less (plan.min_customers)."),
            Gate("products", products, "at least", plan.min_products, "planning",
                 "bring the whole catalogue, or plan for less (plan.min_products)."),
        ),
    )  # fmt: skip
