"""Codes of products and customers, fitted on the training part alone."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.tasks.recommendation.data.dataset import CODES, Catalogue

JOINT = " > "  # between category and type: many types have the same name in several categories


def catalogue(
    products: pa.Table, customers: pa.Table, stores: np.ndarray, trained: np.ndarray, buyers: np.ndarray
) -> Catalogue:
    """products, customers: sorted by id; trained: bool (P,), bought in training; buyers: bool (C,), who
    bought in training. A code stands for a value that occurs among these; 0 for all others."""
    codes, vocabularies = [], {}
    for name in CODES:
        code, vocabulary = _fit(_described(products, name), trained)
        codes.append(code)
        vocabularies[name] = vocabulary
    attributes, demographics = {}, []
    for name in [n for n in customers.column_names if n != "customer"]:
        code, vocabulary = _fit(customers[name], buyers)
        demographics.append(code)
        attributes[name] = vocabulary
    empty = np.zeros((customers.num_rows, 0), dtype=np.int32)
    return Catalogue(
        product_ids=identifiers(products["product"]),
        customer_ids=identifiers(customers["customer"]),
        store_ids=stores,
        names=tuple(products["name"].to_pylist()),
        codes=np.stack(codes, axis=1),
        vocabularies=vocabularies,
        demographics=np.stack(demographics, axis=1) if demographics else empty,
        attributes=attributes,
    )


def identifiers(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Ids as int64 or fixed-width text: no Python objects, so that no pickle is needed to load them."""
    if pa.types.is_integer(column.type):
        return np.asarray(column).astype(np.int64)
    return np.array(column.to_pylist(), dtype=np.str_)


def _described(products: pa.Table, name: str) -> pa.ChunkedArray:
    if name != "type":
        return products[name]
    category = pc.fill_null(products["category"], "")
    return pc.binary_join_element_wise(category, products["type"], JOINT)  # null where the type is


def _fit(column: pa.ChunkedArray, fitted_on: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """int32 (N,) codes, and the values behind them; "" behind 0."""
    values = pc.unique(column.filter(pa.array(fitted_on))).drop_null()
    values = values.take(pc.sort_indices(values))
    code = pc.add(pc.fill_null(pc.index_in(column, values), -1), 1)
    return np.asarray(code).astype(np.int32), ("", *values.to_pylist())
