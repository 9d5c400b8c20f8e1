"""Events of the inbox (data/formats/captures.py) as rows of the event table.

Anybody may tell the service anything, so an event that cannot be used stops nothing: it is left out, and
counted by its reason.

    without_customer  nobody's
    other_ids         a customer or product in text, in a shop that names them by numbers
    outside_period    not in collect.period: it waits until that ends later
    known_already     of a day and kind that the other sources cover: most likely the same event once more,
                      which would make a basket its own next one
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.tasks.recommendation.data import columns, table_rows
from pipeline.tasks.recommendation.data.conversion import EPOCH, Batch
from pipeline.tasks.recommendation.parameters import Collect


def events(
    batch: Batch, first_row: int, collect: Collect, covered: Mapping[str, int], left_out: Counter[str]
) -> pa.Table:
    """first_row: number of the batch's first row in the inbox; covered: of each kind, the last day (since
    1970-01-01) of which the other sources have one; left_out: is added to"""
    record = batch.batch
    nobody = np.asarray(pc.is_null(columns.texts(record.column("customer"), "")))
    fits = _fits(batch, "customer") & _fits(batch, "product")
    missing = np.asarray(pc.is_null(record.column("time")))
    kept = ~(nobody | ~fits | missing)
    left_out["without_customer"] += int(nobody.sum())
    left_out["other_ids"] += int((~nobody & ~fits).sum())
    usable = Batch(batch.opened, record.filter(pa.array(kept)), batch.id_types)
    table = table_rows.events(usable, first_row + np.flatnonzero(kept), collect)
    day = columns.day_numbers(table["time"])
    outside = (day < (collect.period.first - EPOCH).days) | (day >= (collect.period.end - EPOCH).days)
    kinds = table["kind"].cast(pa.string()).to_pylist()
    known = ~outside & (day <= np.array([covered.get(kind, -1) for kind in kinds], dtype=np.int64))
    left_out["outside_period"] += int(outside.sum()) + int((~nobody & fits & missing).sum())
    left_out["known_already"] += int(known.sum())
    return table.filter(pa.array(~(outside | known)))


def _fits(batch: Batch, entity: str) -> np.ndarray:
    """bool (N,): the id is there, and of the type that ids of its kind have."""
    found = columns.texts(batch.batch.column(entity), "")
    if batch.id_types[entity] == pa.int64():
        found = pc.match_substring_regex(found, columns.INTEGER)
        return np.asarray(pc.fill_null(found, False))
    return np.asarray(pc.is_valid(found))
