"""A small shop whose customers have habits, with the faults of a real one; made in a moment.

The tables are those of the shipped project `retail`, columns and all, so that its section of params.yaml
reads them once its sources point to these files (`parameters`).
"""

import copy
import hashlib
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

FIRST, VAL_FROM, TEST_FROM, END = (date(2017, *md) for md in ((7, 3), (10, 30), (11, 27), (12, 25)))
ZONE = "America/New_York"
DAYS = (END - FIRST).days
CATEGORIES, TYPES, PRODUCTS = 12, 4, 6  # types in a category, products of a type
STORES = (31, 32, 33)
FIRST_PRODUCT, FIRST_CUSTOMER = 1000, 1  # ids
FUEL, SERVICE = 9001, 9002  # ids of what is no goods
FAULTS = {
    "absent": 30,
    "fuel": 120,
    "service": 20,
    "nothing_bought": 60,
    "paid_zero": 4,
    "free": 25,
    "coupons_repeated": 12,
    "promotions_repeated": 9,
}
Tables = dict[str, pa.Table]


def tables(customers: int = 300, seed: int = 0) -> Tables:
    """By the names of retail's files: transactions, products, demographics, promotions, ..."""
    rng = np.random.default_rng(seed)
    goods = FIRST_PRODUCT + np.arange(CATEGORIES * TYPES * PRODUCTS)
    return {
        "transactions": _transactions(customers, goods, rng),
        "products": _products(goods),
        "demographics": _demographics(customers, rng),
        "promotions": _promotions(goods, rng),
        "campaigns": pa.table({"campaign_id": [1, 1, 2], "household_id": [1, 2, 1]}),
        "campaign_descriptions": pa.table(
            {
                "campaign_id": [1, 2],
                "campaign_type": ["Type A", "Type B"],
                "start_date": _moments([date(2017, 8, 7), date(2017, 11, 13)]),
                "end_date": _moments([date(2017, 9, 3), date(2017, 12, 17)]),
            }
        ),
        "coupons": _coupons(goods),
        "coupon_redemptions": pa.table(
            {
                "household_id": [1, 2],
                "coupon_upc": [70001, 70002],
                "campaign_id": [1, 1],
                "redemption_date": _moments([date(2017, 8, 14), date(2017, 8, 20)]),
            }
        ),
    }


def write(folder: Path, shop: Tables) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in shop.items():
        pq.write_table(table, folder / f"{name}.parquet")


def parameters(retail: dict[str, Any], folder: Path, root: Path) -> dict[str, Any]:
    """The data sections of `retail` for the shop written in `folder`, with paths relative to `root`."""
    section = copy.deepcopy(retail)
    for source in section["collect"]["sources"]:
        if source["kind"] == "inbox":
            continue
        path = folder / Path(source.pop("member")).name
        del source["package"], source["version"]
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        source |= {"kind": "file", "path": str(path.relative_to(root)), "sha256": sha256}
    section["collect"] |= {
        "first_week": FIRST.isoformat(),
        "period": {"first": FIRST.isoformat(), "end": END.isoformat()},
    }
    section["label"]["exclude"] = {
        "departments": ["FUEL"],
        "categories": ["COUPON/MISC ITEMS"],
        "types": ["MISC SALES TRANS"],
    }
    section["validate"] |= {"days_without_purchases_max": 2, "duplicate_promotion_share_max": 0.01}
    section["validate"]["rule_share_max"] |= {"same_day_baskets": 0.5, "paid_zero_quantity": 0.001}
    section["prepare"]["split"] = {
        "val_from": VAL_FROM.isoformat(),
        "test_from": TEST_FROM.isoformat(),
        "end": END.isoformat(),
    }
    section["plan"] |= {"min_items": 1000, "min_customers": 50, "min_products": 100}
    section["plan"]["expected"] |= {"purchases": 50000, "promotions": 10000, "test_customers": 200}
    section["plan"]["expected"]["precision"] = 0.05
    return section


def learning(section: dict[str, Any]) -> dict[str, Any]:
    """`section` with everything that learns shrunk, so that a whole pass takes a minute."""
    small = copy.deepcopy(section)
    for recipe in (small["forecast"]["recipe"], small["train"]):
        recipe["retrieval"] |= {
            "repeats": 40, "similar": 20, "affine": 10, "popular": 10, "together": 10,
            "similarity_items": 200, "ridge": 20, "neighbours": 20, "neighbour_pool": 100,
        }  # fmt: skip
        recipe["examples"] |= {"origins": 3, "questions_max": 300}
        recipe["network"] |= {"width": 16, "hidden": [32]}
        recipe |= {"epochs": 2, "batch_size": 16, "learning_rate": 0.02}
    small["forecast"] |= {"customer_shares": [0.3, 0.6, 1.0], "questions": 60, "draws": 50}
    small["evaluate"] |= {"draws": 100, "validation_questions": 60}
    small["evaluate"]["slices"] |= {"recall_at_20_min": 0.0, "customers_min": 20, "leaves": 3}
    small["evaluate"]["robustness"] |= {"customers": 40, "kept_min": {"demographics_unknown": 1.0}}
    small["evaluate"]["behaviour"] |= {"customers": 30, "passed_min": {"excluded_is_not_shown": 1.0}}
    small["evaluate"]["explanations"] |= {"customers": 30, "error_max": 0.1, "recall_apart_min": -1.0}
    small["register"] |= {"margin": 0.2, "draws": 100}
    small["deploy"] |= {"samples": 40, "load_seconds": 0.5, "ready_seconds_max": 60}
    small["monitor"] |= {"window": 60, "windows": 20, "degraded_windows": 4}
    small["goals"] |= {
        "gain_over_baseline_min": -0.2, "recall_at_20_min": 0.1, "novel_recall_at_20_min": 0.0,
        "latency_p99_ms_max": 2000, "drift_detection_min": 0.0, "false_alarms_max": 1.0,
    }  # fmt: skip
    small["plan"]["resources"]["minutes_max"] = 30
    return small


def _transactions(customers: int, goods: np.ndarray, rng: np.random.Generator) -> pa.Table:
    """Each customer has favourites and a rhythm; four of five things bought are favourites."""
    popularity = 1 / np.arange(1, len(goods) + 1) ** 0.8
    popularity = rng.permutation(popularity / popularity.sum())
    columns: dict[str, list[np.ndarray]] = {"household_id": [], "second": [], "basket_id": [], "place": []}
    basket = 0
    for customer in range(FIRST_CUSTOMER, FIRST_CUSTOMER + customers):
        favourites = rng.choice(len(goods), 12, replace=False, p=popularity)
        taste = rng.dirichlet(np.full(12, 0.7))
        days = np.cumsum(rng.exponential(rng.uniform(3, 9), 90))
        for day in days[days < DAYS]:
            size = 1 + rng.poisson(4)
            liked = rng.random(size) < 0.8
            chosen = np.where(
                liked, rng.choice(favourites, size, p=taste), rng.choice(len(goods), size, p=popularity)
            )
            chosen = np.unique(chosen)
            second = int(day) * 86400 + rng.integers(8 * 3600, 21 * 3600)
            for name, value in (("household_id", customer), ("second", second), ("basket_id", basket)):
                columns[name].append(np.full(len(chosen), value))
            columns["place"].append(chosen)
            basket += 1
    found = {name: np.concatenate(parts) for name, parts in columns.items()}
    order = np.argsort(found["second"], kind="stable")
    return _with_faults({name: values[order] for name, values in found.items()}, goods, rng)


def _with_faults(found: dict[str, np.ndarray], goods: np.ndarray, rng: np.random.Generator) -> pa.Table:
    rows = len(found["place"])
    product = goods[found["place"]]
    quantity = 1 + rng.poisson(0.2, rows)
    price = 0.5 + (found["place"] * 7 % 90) / 10
    discount = np.where(rng.random(rows) < 0.2, 0.1, 0.0) * price * quantity
    value = price * quantity - discount
    spoilt = iter(np.split(rng.permutation(rows), np.cumsum(list(FAULTS.values()))))
    product[next(spoilt)] = 999999
    fuel = next(spoilt)
    product[fuel], quantity[fuel] = FUEL, rng.integers(500, 9000, len(fuel))
    product[next(spoilt)] = SERVICE
    nothing, paid, free = next(spoilt), next(spoilt), next(spoilt)
    quantity[nothing], value[nothing], discount[nothing] = 0, 0, 0
    quantity[paid] = 0
    value[free] = 0
    # No product stands twice in a basket, as in the source.
    once = np.unique(found["basket_id"] * 1_000_000 + product, return_index=True)[1]
    keep = np.sort(once)
    local = pa.array(np.datetime64(FIRST, "s") + found["second"].astype("timedelta64[s]"), pa.timestamp("s"))
    instants = pc.assume_timezone(local, ZONE, ambiguous="earliest", nonexistent="latest")
    table = pa.table(
        {
            "household_id": found["household_id"],
            "store_id": np.array(STORES)[found["household_id"] % len(STORES)],
            "basket_id": found["basket_id"] + 31_000_000_000,
            "product_id": product,
            "quantity": quantity,
            "sales_value": value.round(2),
            "retail_disc": discount.round(2),
            "coupon_disc": np.zeros(rows),
            "coupon_match_disc": np.zeros(rows),
            "week": found["second"] // 86400 // 7 + 1,
            "transaction_timestamp": pc.local_timestamp(instants.cast(pa.timestamp("s", "UTC"))).cast(
                pa.timestamp("ns")
            ),
        }
    )
    return table.take(pa.array(keep))


def _products(goods: np.ndarray) -> pa.Table:
    """Half of the types have names that stand under every category; some products say little."""
    place = goods - FIRST_PRODUCT
    category, kind = place // (TYPES * PRODUCTS), place // PRODUCTS % TYPES
    names = [f"TYPE {t}" if t < 2 else f"TYPE {c}-{t}" for c, t in zip(category, kind, strict=True)]
    known = place % 150 != 5
    table = pa.table(
        {
            "product_id": np.append(goods, [FUEL, SERVICE]),
            "manufacturer_id": np.append(place % 17, [1, 1]),
            "department": [f"DEPARTMENT {c % 3}" for c in category] + ["FUEL", "GROCERY"],
            "brand": ["Private" if p % 5 == 0 else "National" for p in place] + ["National"] * 2,
            "product_category": [
                *(f"CATEGORY {c}" if k else None for c, k in zip(category, known, strict=True)),
                *("COUPON/MISC ITEMS", "CATEGORY 0"),
            ],
            "product_type": [*names, "GASOLINE", "MISC SALES TRANS"],
            "package_size": [f"{p % 9 + 1} OZ" if p % 4 else None for p in place] + [None, None],
        }
    )
    return table


def _demographics(customers: int, rng: np.random.Generator) -> pa.Table:
    described = FIRST_CUSTOMER + np.flatnonzero(np.arange(customers) % 2 == 0)
    values: dict[str, list[str | None]] = {
        "age": ["19-24", "25-34", "35-44"],
        "income": ["Under 15K", "50-74K"],
        "home_ownership": ["Homeowner", "Renter", None],
        "marital_status": ["Married", "Unmarried", None],
        "household_size": ["1", "2", "5+"],
        "household_comp": ["1 Adult Kids", "2 Adults No Kids"],
        "kids_count": ["0", "1", "3+"],
    }
    columns: dict[str, Any] = {"household_id": described}
    for name, known in values.items():
        columns[name] = [known[i] for i in rng.integers(0, len(known), len(described))]
    return pa.table(columns)


def _promotions(goods: np.ndarray, rng: np.random.Generator) -> pa.Table:
    weeks = np.arange(1, DAYS // 7 + 1)
    week, store, product = (axis.ravel() for axis in np.meshgrid(weeks, STORES, goods[::4], indexing="ij"))
    shown = rng.random(len(week)) < 0.3
    week, store, product = week[shown], store[shown], product[shown]
    display = np.where(rng.random(len(week)) < 0.5, "0", "9")
    mailer = np.where(display == "0", "A", "0")
    table = pa.table(
        {
            "product_id": product,
            "store_id": store,
            "display_location": display,
            "mailer_location": mailer,
            "week": week,
        }
    )
    return pa.concat_tables([table, table.slice(0, FAULTS["promotions_repeated"])]).sort_by("week")


def _coupons(goods: np.ndarray) -> pa.Table:
    table = pa.table(
        {
            "coupon_upc": 70001 + np.arange(280) % 3,
            "product_id": goods[np.arange(280) % len(goods)],
            "campaign_id": 1 + np.arange(280) % 2,
        }
    )
    return pa.concat_tables([table, table.slice(0, FAULTS["coupons_repeated"])])


def _moments(days: list[date]) -> pa.Array:
    return pa.array(days, pa.date32()).cast(pa.timestamp("ns"))
