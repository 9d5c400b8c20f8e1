"""Labels of a shop: the products of each customer's next basket, as far as they are known.

Cleaning decides which lines count (data/cleaning.py); the label itself follows from time alone, so
the audit asks what could be wrong with it: baskets of one moment, questions whose horizon goes beyond
the data, customers who never came back, purchases that came back (data/returns.py), and quantities that the
price contradicts.

Writes
    purchases.parquet, products.parquet  what counts (data/tables.py)
    audit.json   every rule with its count, and the audit's counts
    queue.csv    the lines with doubtful quantities, worst first: given and suggested quantity, and
                 how far they agree (score in (0, 1]; low is doubtful)
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.core.artifacts import write_json
from pipeline.core.findings import Findings
from pipeline.core.paths import Paths
from pipeline.tasks.recommendation.data import baskets, cleaning, quantity_audit, returns, tables
from pipeline.tasks.recommendation.data.cleaning import Lines, Rule
from pipeline.tasks.recommendation.data.columns import day_numbers
from pipeline.tasks.recommendation.data.conversion import EPOCH
from pipeline.tasks.recommendation.parameters import Collect, Label, Timezone


def label(params: Any, paths: Paths, folder: Path) -> Findings:
    collect: Collect = params.collect
    label: Label = params.label
    catalogue = tables.read(paths.collected / tables.PRODUCTS)
    no_goods = cleaning.excluded(catalogue, label.exclude)
    complete = Lines(purchase_lines(paths.collected / tables.EVENTS))
    cleaning.drop_incomplete(complete, collect.period)
    table = complete.table.filter(pa.array(complete.kept))
    basket, basket_rules = baskets.number(table)
    recorded = _same_recorded_day(table, basket, collect.timezone)
    came_back = returns.match(table, label.maturity_days)
    lines = Lines(table)
    cleaning.clean(lines, catalogue, no_goods, label)
    purchases, hours_max, repeated = baskets.summed(
        lines.table.filter(pa.array(lines.kept)), basket[lines.kept]
    )
    known = baskets.outcomes(
        purchases, label.horizon_days, label.maturity_days, (collect.period.end - EPOCH).days
    )
    doubtful, queued = _queue(purchases, label, folder / "queue.csv")
    tables.write(folder / tables.PURCHASES, purchases.schema, [purchases])
    goods = catalogue.filter(pa.array(~no_goods))
    tables.write(folder / tables.PRODUCTS, goods.schema, [goods])
    rules = [*complete.rules, *lines.rules, came_back.rule, *basket_rules, repeated]
    audit = {
        "items": purchases.num_rows,
        "lines": complete.table.num_rows,
        "products": goods.num_rows,
        "ambiguous_types": _ambiguous_types(catalogue),
        "doubtful": doubtful,
        "doubtful_share": doubtful / max(purchases.num_rows, 1),
        "queued": queued,
        "same_day_baskets_by_recorded_time": recorded,
        "basket_hours_max": hours_max,
        **asdict(known),
        "without_outcome_share": known.customers_without_outcome
        / max(known.customers - known.customers_too_new, 1),
        **came_back.as_json(),
        "horizon_days": label.horizon_days,
        "maturity_days": label.maturity_days,
        "policy": label.policy,
        "rules": [rule.as_json() for rule in rules],
    }
    write_json(folder / "audit.json", audit)
    return _findings(audit, rules)


def purchase_lines(path: Path) -> pa.Table:
    """The events of kind purchase, with the columns of purchases.parquet; read group by group."""
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        names = tables.PURCHASE_COLUMNS
        parts = [
            batch.filter(pc.equal(batch.column("kind"), "purchase")).select(names)
            for batch in file.iter_batches(batch_size=tables.ROWS, columns=[*names, "kind"])
        ]
    table = pa.Table.from_batches(parts, pa.schema([schema.field(name) for name in names]))
    return table.unify_dictionaries()


def _ambiguous_types(catalogue: pa.Table) -> int:
    """Names of product types that stand under several categories, so that the name alone says little."""
    typed = catalogue.filter(pc.is_valid(catalogue["type"])).group_by(["type", "category"]).aggregate([])
    categories = typed.group_by("type").aggregate([([], "count_all")])["count_all"]
    return int(pc.sum(pc.greater(categories, 1), min_count=0).as_py())


def _same_recorded_day(lines: pa.Table, basket: np.ndarray, zone: Timezone) -> int:
    """As the rule same_day_baskets, but by days of the zone in which the times were recorded."""
    instants = pc.assume_timezone(lines["time"], zone.local, ambiguous="earliest", nonexistent="earliest")
    # A local time that the clocks skipped becomes the last millisecond before: no whole second.
    recorded = pc.local_timestamp(instants.cast(pa.timestamp("s", zone.recorded), safe=False))
    return baskets.same_day(baskets.codes(lines["customer"]), basket, day_numbers(recorded))


def _queue(purchases: pa.Table, label: Label, path: Path) -> tuple[int, int]:
    """Writes the doubtful lines; how many there are, and how many were written."""
    import pyarrow.csv

    quantity, value, discount = (np.asarray(purchases[n]) for n in ("quantity", "value", "discount"))
    product = baskets.codes(purchases["product"])
    suggested = quantity_audit.suggested_quantity(product, quantity, value + discount)
    score = quantity_audit.agreement(quantity, suggested)
    doubtful = np.flatnonzero(score * label.doubtful_ratio < 1)
    queue = doubtful[np.argsort(score[doubtful], kind="stable")][: label.queue_max]
    rows = purchases.take(pa.array(queue))
    source = rows["source"].cast(pa.string())
    columns = {
        "item_id": pc.binary_join_element_wise(source, rows["source_index"].cast(pa.string()), ":"),
        "source": source,
        "source_index": rows["source_index"],
        "split": np.full(len(queue), ""),
        "given": quantity[queue],
        "suggested": suggested[queue].round(4),
        "score": score[queue].round(6),
        "rank": np.arange(1, len(queue) + 1),
    }
    pyarrow.csv.write_csv(pa.table(columns), path)
    return len(doubtful), len(queue)


def _findings(audit: dict[str, Any], rules: list[Rule]) -> Findings:
    dropped = sum(rule.dropped for rule in rules)
    names = (
        "items",
        "doubtful",
        "doubtful_share",
        "queued",
        "questions",
        "answered",
        "immature",
        "late_returns",
    )
    return Findings(
        summary=f"{audit['items']:,} of {audit['lines']:,} purchase lines count, {dropped:,} dropped by "
        f"rules; {audit['answered']:,} baskets are followed by another within {audit['horizon_days']} days; "
        f"{audit['doubtful']:,} quantities are doubtful ({audit['doubtful_share']:.2%}), "
        f"{audit['queued']:,} queued",
        metrics={name: audit[name] for name in names} | {f"rule.{rule.rule}": rule.rows for rule in rules},
    )
