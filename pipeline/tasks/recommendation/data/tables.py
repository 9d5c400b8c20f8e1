"""The tables that `collect` and `label` write: their files, columns and types.

collected/
    events.parquet      source, source_index (row in the source, from 0), kind (view, cart, purchase,
                        exposure, redeem), customer, product, basket, store, time (local clock), week (as
                        the source says), quantity (pieces), value (paid), discount (taken off, >= 0),
                        coupon, campaign; null where the source says nothing
    products.parquet    product, name, type, category, department, manufacturer, brand, size
    customers.parquet   customer and its attributes; everyone who is named anywhere, each once
    promotions.parquet  product, store, start (first day of the week), display, mailer (was there one?)
    campaigns.parquet   campaign, customer, start, end, type
    coupons.parquet     coupon, product, campaign
labelled/
    purchases.parquet   the purchases that count, one row a product of a basket; sorted by time, basket,
                        product
    products.parquet    the products that can be recommended, as collected

Ids are int64, or text where any source has text. Times are seconds of the local clock (Parquet, which
has no seconds, keeps milliseconds).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

EVENTS = "events.parquet"
PRODUCTS = "products.parquet"
CUSTOMERS = "customers.parquet"
PROMOTIONS = "promotions.parquet"
CAMPAIGNS = "campaigns.parquet"
COUPONS = "coupons.parquet"
PURCHASES = "purchases.parquet"

ENTITIES = ("customer", "product", "basket", "store", "coupon", "campaign")
DESCRIBED = ("name", "type", "category", "department", "manufacturer", "brand", "size")
PURCHASE_COLUMNS = [
    *("source", "source_index", "customer", "product", "basket", "store", "time"),
    *("quantity", "value", "discount"),
]
IdTypes = Mapping[str, pa.DataType]  # of each entity
NAME = pa.dictionary(pa.int32(), pa.string())
MOMENT = pa.timestamp("s")
ROWS = 1 << 19  # of a batch: enough to be fast, little enough to be small


def events(ids: IdTypes) -> pa.Schema:
    return pa.schema(
        {
            "source": NAME,
            "source_index": pa.int64(),
            "kind": NAME,
            **{entity: ids[entity] for entity in ("customer", "product", "basket", "store")},
            "time": MOMENT,
            "week": pa.int64(),
            "quantity": pa.float64(),
            "value": pa.float64(),
            "discount": pa.float64(),
            "coupon": ids["coupon"],
            "campaign": ids["campaign"],
        }
    )


def products(ids: IdTypes) -> pa.Schema:
    return pa.schema({"product": ids["product"], **dict.fromkeys(DESCRIBED, pa.string())})


def customers(ids: IdTypes, attributes: Iterable[str]) -> pa.Schema:
    return pa.schema({"customer": ids["customer"], **dict.fromkeys(attributes, pa.string())})


def promotions(ids: IdTypes) -> pa.Schema:
    return pa.schema(
        {
            "product": ids["product"],
            "store": ids["store"],
            "start": pa.date32(),
            "display": pa.bool_(),
            "mailer": pa.bool_(),
        }
    )


def campaigns(ids: IdTypes) -> pa.Schema:
    return pa.schema(
        {
            "campaign": ids["campaign"],
            "customer": ids["customer"],
            "start": pa.date32(),
            "end": pa.date32(),
            "type": pa.string(),
        }
    )


def coupons(ids: IdTypes) -> pa.Schema:
    return pa.schema({entity: ids[entity] for entity in ("coupon", "product", "campaign")})


def write(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch | pa.Table]) -> int:
    """Writes batches as they come; gives the number of rows."""
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write(batch)
            rows += batch.num_rows
    return rows


def read(path: Path, columns: list[str] | None = None) -> pa.Table:
    return pq.read_table(path, columns=columns)
