"""A user's own shop as a project: looks at the files, and says what its section of params.yaml must say.

Columns are found by their usual names, or told by the user. Dates, amounts and bounds come from the data,
which goes through `collect` and `label` once, in a folder that is thrown away. Everything else is taken
over from the project that the new one is made like.
"""

import argparse
import copy
import math
import tempfile
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipeline.core.errors import ParameterError
from pipeline.core.paths import Paths
from pipeline.projects.new_project import Change

OPTION = "events"
OPTION_HELP = "table of purchases, and views, ... if there are any, of a shop"
LIKE = "retail"
WEEK = timedelta(days=7)
PART_WEEKS = 4  # of validation and of test, where the data is long enough
LEAST_WEEKS = 6  # of data: a week to validate, a week to test, and some to learn from
EVER = {"first": date(1900, 1, 1), "end": date(2200, 1, 1)}
LEAST_SHARE = 0.8  # of what is there now that a later collection must bring
MARGIN = 1.25  # over what was met, of bounds that the shipped ones do not allow for
TELLABLE = (
    3.0  # standard errors that a new model may lose: one as good as the champion must be able to show it
)
RISKS = [
    "What customers were shown is not known unless a source says so.",
    "Customers who share an account look like one; a basket may be of somebody else than the last.",
    "A list of what is bought anyway sells nothing more; the discovery list is measured apart.",
]
OUT_OF_SCOPE = [
    "Prices, credit, or offers that depend on who somebody is.",
    "Conclusions about the health, belief or circumstances of a customer from what is bought.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for table in ("products", "customers", "promotions", "campaigns", "coupons"):
        parser.add_argument(f"--{table}", type=Path, help=f"table of {table}")
    parser.add_argument("--column", action="append", default=[], metavar="[TABLE.]NAME=COLUMN",
                        help="which column is which, for instance customer=household_id")  # fmt: skip
    parser.add_argument("--kind", action="append", default=[], metavar="WORD=KIND",
                        help="what a word in a column of kinds means, for instance pv=view")  # fmt: skip
    parser.add_argument("--timezone", default="UTC", help="zone of the shop (UTC)")
    parser.add_argument("--recorded", help="zone in which times were written (that of the shop)")
    parser.add_argument("--first-week", type=date.fromisoformat, help="day on which week 1 began, if needed")


def changes(
    arguments: argparse.Namespace, shipped: Mapping[str, Any], paths: Paths
) -> tuple[list[Change], list[str]]:
    """What differs from `shipped`, the section of the project to be like; and what was met, in words."""
    from pipeline.tasks.recommendation.new_sources import TABLES, described

    files = {table: getattr(arguments, table) for table in TABLES}
    sources = [described(t, file, arguments, paths.root) for t, file in files.items() if file]
    section = copy.deepcopy(dict(shipped))
    section["collect"] = {
        "note": f"Own data of the project {paths.project}.",
        "timezone": {"recorded": arguments.recorded or arguments.timezone, "local": arguments.timezone},
        "first_week": arguments.first_week,
        "period": EVER,
        "sources": sources,
    }
    section["label"]["exclude"] = {"departments": [], "categories": [], "types": []}
    with tempfile.TemporaryDirectory() as folder:
        seen = _look(section, paths, Path(folder))
    split = cuts(seen["first"], seen["last"])
    section["collect"]["period"] = {"first": seen["first"], "end": split["end"]}
    bounds = _bounds(section["validate"], seen["measured"])
    expected, told = _expected(section["plan"]["expected"], seen, split)
    plan = {
        "risks": RISKS,
        "out_of_scope": OUT_OF_SCOPE,
        "allowed_licences": [arguments.licence],
        "min_items": math.ceil(seen["items"] * LEAST_SHARE),
        "min_customers": math.ceil(seen["customers"] * LEAST_SHARE),
        "min_products": math.ceil(seen["products"] * LEAST_SHARE),
    }
    collect, exclude = section["collect"], section["label"]["exclude"]
    found = [Change(("plan", key), value, key in ("risks", "out_of_scope")) for key, value in plan.items()]
    found += [Change(("plan", "expected", key), value) for key, value in expected.items()]
    found += [
        Change(("collect", "note"), collect["note"]),
        Change(("collect", "first_week"), arguments.first_week),
    ]
    for key in ("timezone", "period"):
        found += [Change(("collect", key, name), value) for name, value in collect[key].items()]
    inbox = {"name": "inbox", "kind": "inbox", "licence": arguments.licence, "table": "events"}
    found += [Change(("collect", "sources"), [*sources, inbox], block=True)]
    found += [Change(("label", "exclude", key), value) for key, value in exclude.items()]
    found += [Change(("validate", *key), value) for key, value in bounds.items()]
    found += [Change(("prepare", "split", key), value) for key, value in split.items()]
    error = section["plan"]["expected"]["paired_sd"] / math.sqrt(expected["test_customers"])
    margin = max(section["register"]["margin"], round(TELLABLE * error, 4))
    found += [Change(("register", "margin"), margin)]
    raised = [f"{'.'.join(key)} {value}" for key, value in bounds.items()]
    return found, [told, *([f"Raised above those that it is like: {', '.join(raised)}."] if raised else [])]


def cuts(first: date, last: date) -> dict[str, date]:
    """Where validation and test begin, on Mondays, and where the data ends (not included)."""
    end = last + timedelta(days=1)
    weeks = (end - first).days // 7
    if weeks < LEAST_WEEKS:
        raise ParameterError(
            f"the purchases span {first} to {last}: {weeks} weeks, but at least {LEAST_WEEKS} are needed to "
            "learn from some and to test on others. Bring a longer table."
        )
    part = min(PART_WEEKS, max(1, weeks // LEAST_WEEKS))
    test = end - part * WEEK
    test -= timedelta(days=test.weekday())
    return {"val_from": test - part * WEEK, "test_from": test, "end": end}


def _look(section: Mapping[str, Any], paths: Paths, folder: Path) -> dict[str, Any]:
    """What collect and label find in the data."""
    import numpy as np

    from pipeline.core.artifacts import read_json
    from pipeline.tasks.recommendation import collect, label
    from pipeline.tasks.recommendation.data import baskets, checks, columns, tables
    from pipeline.tasks.recommendation.parameters import Charter, Collect, Label, Period

    params = SimpleNamespace(
        plan=Charter(**section["plan"]),
        collect=Collect(**section["collect"]),
        label=Label(**section["label"]),
    )
    trial = Paths(root=folder, project=paths.project)
    collected, labelled = trial.collected, trial.labelled
    for place in (collected, labelled):
        place.mkdir(parents=True)
    collect.collect(params, paths, collected)
    provenance = read_json(collected / "provenance.json")
    if not provenance["first_purchase"]:
        raise ParameterError("no purchase with a time was found among the events.")
    label.label(params, trial, labelled)
    audit = read_json(labelled / "audit.json")
    rows = tables.read(labelled / tables.PURCHASES)
    first, last = (date.fromisoformat(provenance[f"{w}_purchase"][:10]) for w in ("first", "last"))
    day = columns.day_numbers(rows["time"])
    events = checks.events(collected, params.collect)
    frames = checks.products(collected), checks.customers(collected), checks.coupons(collected)
    products, customers, coupons = frames
    promotions = checks.promotions(collected)
    by_day = checks.days(day, Period(first=first, end=last + timedelta(days=1)))
    measured: dict[tuple[str, ...], float] = {
        **{("rule_share_max", rule["rule"]): rule["share"] for rule in audit["rules"]},
        ("quantity_max",): np.asarray(rows["quantity"]).max(initial=0),
        ("value_max",): np.asarray(rows["value"]).max(initial=0),
        ("week_mismatch_share_max",): events["other_week"].mean(),
        ("unknown_coupon_share_max",): events["unknown_coupon"].mean(),
        ("days_without_purchases_max",): by_day["without_purchases"].max(),
        ("basket_hours_max",): audit["basket_hours_max"],
        ("missing_category_share_max",): products["without_category"].mean(),
        ("missing_size_share_max",): products["without_size"].mean(),
        ("ambiguous_types_max",): audit["ambiguous_types"],
        ("unknown_demographics_share_max",): customers["undescribed"].mean(),
        ("duplicate_promotion_share_max",): promotions["repeated_share"].sum(),
        ("unlisted_promotion_share_max",): promotions["unlisted_share"].sum(),
        ("duplicate_coupon_share_max",): coupons["repeated"].sum() / max(len(coupons), 1),
        ("unlisted_coupon_share_max",): coupons["unlisted"].sum() / max(len(coupons), 1),
        ("without_outcome_share_max",): audit["without_outcome_share"],
        ("late_returns_share_max",): audit["late_returns_share"],
        ("doubtful_share_max",): audit["doubtful_share"],
    }
    return {
        "first": first,
        "last": last,
        "items": provenance["kinds"]["purchase"],
        "customers": provenance["customers"],
        "products": provenance["products"],
        "promotions": provenance["promotions"],
        "purchases": rows.num_rows,
        "kinds": provenance["kinds"],
        "buyers_by_day": (baskets.codes(rows["customer"]), day),
        "measured": {key: float(value) for key, value in measured.items()},
    }


def _bounds(
    shipped: Mapping[str, Any], measured: Mapping[tuple[str, ...], float]
) -> dict[tuple[str, ...], Any]:
    """The shipped bounds, raised a little above what was met where they would not hold."""
    found: dict[tuple[str, ...], Any] = {}
    for key, value in measured.items():
        bound = shipped[key[0]] if len(key) == 1 else shipped[key[0]][key[1]]
        if value > bound:
            raised = value * MARGIN
            if "share" in key[0]:
                found[key] = min(1.0, math.ceil(raised * 1e4) / 1e4)
            else:
                found[key] = math.ceil(raised)
    return found


def _expected(
    shipped: Mapping[str, Any], seen: Mapping[str, Any], split: Mapping[str, date]
) -> tuple[dict[str, Any], str]:
    import numpy as np

    from pipeline.tasks.recommendation.plan import goal_precision

    customer, day = seen["buyers_by_day"]
    test_day = (split["test_from"] - date(1970, 1, 1)).days
    tested = len(np.unique(customer[day >= test_day]))
    share = seen["purchases"] / shipped["purchases"]
    found = {
        "purchases": max(seen["purchases"], 1),
        "promotions": seen["promotions"],
        "queries": max(1000, round(shipped["queries"] * share)),
        "test_customers": max(tested, 2),
    }
    told = SimpleNamespace(paired_sd=shipped["paired_sd"], test_customers=found["test_customers"])
    precision = goal_precision(None, told)  # type: ignore[arg-type]
    if precision > shipped["precision"]:
        found["precision"] = math.ceil(precision * 1000) / 1000
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in seen["kinds"].items())
    return found, (
        f"{kinds} events; {seen['purchases']:,} purchase lines of {seen['customers']:,} customers and "
        f"{seen['products']:,} products count, {seen['first']} to {seen['last']}; validation from "
        f"{split['val_from']}, test from {split['test_from']} with {tested:,} customers, who can tell a gain "
        f"in recall to ±{precision:.1%}"
    )
