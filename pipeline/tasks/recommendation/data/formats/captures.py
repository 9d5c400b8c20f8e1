"""The inbox of a shop: the events that its service was told of.

events/DAY.parquet   the events heard on DAY (2026-03-01, in UTC), the columns of SCHEMA in any order

    id             of the event in the prediction log
    at             when the service heard of it
    customer       as text; null for feedback of nobody known by name
    product        as text
    kind           view, cart, purchase, exposure or redeem
    time           when it happened
    quantity       pieces
    value          paid, in the shop's currency
    prediction_id  of the recommendation that it is feedback on; null for others

Who adds events writes the file of a day whole, in place of the old one
(pipeline.core.artifacts.writing_file), so that an event that is written again is still one event.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

TYPED = True
FOLDER = "events"
MOMENT = pa.timestamp("ms", "UTC")
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "at": MOMENT,
        **dict.fromkeys(("customer", "product", "kind"), pa.string()),
        "time": MOMENT,
        **dict.fromkeys(("quantity", "value"), pa.float64()),
        "prediction_id": pa.string(),
    }
)


def column_types(path: Path) -> dict[str, pa.DataType]:
    return dict(zip(SCHEMA.names, SCHEMA.types, strict=True))


def batches(path: Path, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
    """path: the inbox; ArrowInvalid names the file that is no Parquet, lacks a column or has another type."""
    for day in sorted((path / FOLDER).glob("*.parquet")):
        try:
            yield from _read(day, columns, rows)
        except (pa.ArrowException, OSError) as error:
            raise pa.ArrowInvalid(f"{FOLDER}/{day.name}: {error}") from None


def _read(day: Path, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
    wanted = pa.schema([SCHEMA.field(name) for name in columns])
    with pq.ParquetFile(day) as file:
        missing = [name for name in columns if name not in file.schema_arrow.names]
        if missing:
            raise pa.ArrowInvalid(f"it has no column {', '.join(missing)}")
        for batch in file.iter_batches(batch_size=rows, columns=columns):
            yield batch.select(columns).cast(wanted)
