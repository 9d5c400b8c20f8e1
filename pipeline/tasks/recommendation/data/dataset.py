"""The prepared data: what `prepare` writes, and reading it back. NumPy and JSON alone: the service reads it.

A split (train, val, test): one row a product of a basket, sorted by time, then basket, then product
    customer.npy   int32 (N,)  index into customer_ids
    product.npy    int32 (N,)  index into product_ids
    basket.npy     int32 (N,)  number of the basket over all splits, rising with time
    day.npy        int32 (N,)  local days since 1970-01-01
    second.npy     int32 (N,)  of the local day, 0 to 86399
    store.npy      int32 (N,)  index into store_ids; -1 where it is not known
    quantity.npy, value.npy, discount.npy  float32 (N,), value is what was paid, discount >= 0
    promotions.npz product int32 (M,), start int32 (M,) day number of the week's first day,
                   display and mailer float32 (M,) share of the stores with promotions that had it there
    period.json    {"from": day, "until": day}: the days from <= day < until that the split covers

The catalogue, of all splits; what is fitted is fitted on the training part alone
    product_ids.npy, customer_ids.npy, store_ids.npy  int64 or str, rising
    names.json         name of each product
    codes.npy          int32 (P, 5): type, category, department, manufacturer, brand; 0 where it is
                       missing or was never bought in training; see vocabularies.json for the names
    demographics.npy   int32 (C, D): code of each attribute; 0 where it is not known
    demographics.json  {attribute: ["", value, ...]}
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CODES = ("type", "category", "department", "manufacturer", "brand")
ROWS = {
    "customer": np.int32,
    "product": np.int32,
    "basket": np.int32,
    "day": np.int32,
    "second": np.int32,
    "store": np.int32,
    "quantity": np.float32,
    "value": np.float32,
    "discount": np.float32,
}
PROMOTIONS = {"product": np.int32, "start": np.int32, "display": np.float32, "mailer": np.float32}


@dataclass(frozen=True)
class Promotions:
    """One row a product and week in which a store promoted it; see the module for shapes."""

    product: np.ndarray
    start: np.ndarray
    display: np.ndarray
    mailer: np.ndarray

    def __len__(self) -> int:
        return len(self.product)


@dataclass(frozen=True)
class Purchases:
    """A split; its arrays are memory-mapped. Days first_day <= day < end_day."""

    customer: np.ndarray
    product: np.ndarray
    basket: np.ndarray
    day: np.ndarray
    second: np.ndarray
    store: np.ndarray
    quantity: np.ndarray
    value: np.ndarray
    discount: np.ndarray
    promotions: Promotions
    first_day: int
    end_day: int

    def __len__(self) -> int:
        return len(self.product)


@dataclass(frozen=True)
class Catalogue:
    """Products, customers and stores behind the indices of a split.

    vocabularies: for each of CODES the names behind the codes, "" for 0
    attributes: for each column of `demographics` the values behind the codes, "" for 0
    """

    product_ids: np.ndarray
    customer_ids: np.ndarray
    store_ids: np.ndarray
    names: tuple[str, ...]
    codes: np.ndarray
    vocabularies: Mapping[str, tuple[str, ...]]
    demographics: np.ndarray
    attributes: Mapping[str, tuple[str, ...]]


def write_split(
    folder: Path,
    rows: Mapping[str, np.ndarray],
    promotions: Mapping[str, np.ndarray],
    first_day: int,
    end_day: int,
) -> None:
    """rows: the arrays of ROWS, of equal length; promotions: those of PROMOTIONS."""
    folder.mkdir(parents=True)
    for name, dtype in ROWS.items():
        np.save(folder / f"{name}.npy", rows[name].astype(dtype, copy=False))
    arrays = {name: promotions[name].astype(dtype, copy=False) for name, dtype in PROMOTIONS.items()}
    np.savez(folder / "promotions.npz", **arrays)  # type: ignore[arg-type]
    (folder / "period.json").write_text(json.dumps({"from": first_day, "until": end_day}) + "\n")


def read_split(folder: Path) -> Purchases:
    with np.load(folder / "promotions.npz") as archive:
        promotions = Promotions(**{name: archive[name] for name in PROMOTIONS})
    period = json.loads((folder / "period.json").read_text())
    return Purchases(
        **{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ROWS},
        promotions=promotions,
        first_day=period["from"],
        end_day=period["until"],
    )


def write_catalogue(folder: Path, catalogue: Catalogue) -> None:
    folder.mkdir(parents=True)
    for name in ("product_ids", "customer_ids", "store_ids", "codes", "demographics"):
        np.save(folder / f"{name}.npy", getattr(catalogue, name))
    _write_texts(folder / "names.json", list(catalogue.names))
    _write_texts(folder / "vocabularies.json", dict(catalogue.vocabularies))
    _write_texts(folder / "demographics.json", dict(catalogue.attributes))


def read_catalogue(folder: Path) -> Catalogue:
    texts = {
        name: json.loads((folder / f"{name}.json").read_text())
        for name in ("names", "vocabularies", "demographics")
    }
    return Catalogue(
        product_ids=np.load(folder / "product_ids.npy"),
        customer_ids=np.load(folder / "customer_ids.npy"),
        store_ids=np.load(folder / "store_ids.npy"),
        names=tuple(texts["names"]),
        codes=np.load(folder / "codes.npy"),
        vocabularies={name: tuple(values) for name, values in texts["vocabularies"].items()},
        demographics=np.load(folder / "demographics.npy"),
        attributes={name: tuple(values) for name, values in texts["demographics"].items()},
    )


def _write_texts(path: Path, texts: Sequence[str] | Mapping[str, Sequence[str]]) -> None:
    path.write_text(json.dumps(texts, ensure_ascii=False) + "\n")
