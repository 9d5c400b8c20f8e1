"""Collecting a shop: every source turned into the tables of data/tables.py, and counted."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from pipeline import sources
from pipeline.core.artifacts import write_json
from pipeline.core.errors import SourceError
from pipeline.core.findings import Findings
from pipeline.core.gates import Gate
from pipeline.core.paths import Paths
from pipeline.tasks.recommendation.data import conversion, table_rows, tables
from pipeline.tasks.recommendation.data.conversion import Batch, Opened
from pipeline.tasks.recommendation.data.event_counts import EventCounts
from pipeline.tasks.recommendation.parameters import Charter, Collect


def collect(params: Any, paths: Paths, folder: Path) -> Findings:
    """Writes the tables of collected/ (data/tables.py) and provenance.json.

    Long tables (events, promotions) pass through in batches and are never in memory whole.
    """
    collect: Collect = params.collect
    opened = [conversion.open_source(source, sources.fetch(source, paths)) for source in collect.sources]
    ids = conversion.id_types(opened)
    rows = dict.fromkeys([one.source.name for one in opened], 0)

    def batches(table: str) -> Iterator[Batch]:
        for one in opened:
            if one.source.table == table:
                for record in one.batches():
                    yield Batch(one, record, ids)
                    rows[one.source.name] += record.num_rows

    campaigns = table_rows.joined_campaigns([table_rows.campaigns(b) for b in batches("campaigns")], ids)
    tables.write(folder / tables.CAMPAIGNS, campaigns.schema, [campaigns])
    counts = EventCounts(collect, ids)
    events = (table_rows.events(b, rows[b.opened.source.name], collect) for b in batches("events"))
    exposures = [table_rows.exposures(campaigns, one, ids) for one in _senders(opened)]
    tables.write(folder / tables.EVENTS, tables.events(ids), counts.watch(chain(events, exposures)))
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
    for name, count in rows.items():
        if count == 0:
            raise SourceError(f"{name}: the file holds no rows. Bring one with data, or take the source out.")
    found = counts.as_json() | {"products": products, "promotions": promotions, "coupons": coupons}
    write_json(folder / "provenance.json", _provenance(collect, rows, found))
    return _findings(params.plan, found, len(opened))


def _senders(opened: list[Opened]) -> list[str]:
    """The source after which exposures by campaigns are called: the first that names customers."""
    return [one.source.name for one in opened if one.source.table == "campaigns" and one.named("customer")][
        :1
    ]


def _provenance(collect: Collect, rows: dict[str, int], found: dict[str, Any]) -> dict[str, Any]:
    origins = [source.model_dump(mode="json", exclude={"columns"}) for source in collect.sources]
    return {
        "items": sum(found["kinds"].values()),
        "note": collect.note,
        **found,
        "sources": [origin | {"rows": rows[origin["name"]]} for origin in origins],
    }


def _findings(plan: Charter, found: dict[str, Any], sources: int) -> Findings:
    purchases, customers, products = found["kinds"].get("purchase", 0), found["customers"], found["products"]
    return Findings(
        summary=f"{purchases:,} purchase lines of {customers:,} customers, {products:,} products, "
        f"{found['promotions']:,} promotions from {sources} source(s)",
        metrics={
            **{f"events.{kind}": count for kind, count in found["kinds"].items()},
            "customers": customers,
            "products": products,
            "promotions": found["promotions"],
            "coupons": found["coupons"],
            "week_mismatches": found["week_mismatches"],
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
