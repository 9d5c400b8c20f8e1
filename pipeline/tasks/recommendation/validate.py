"""What the tables of a shop must look like, before anything is learned from them.

All rows are checked. What would need many passes over a long table is computed once, as a column
(data/checks.py), so that Great Expectations compares sums, means and bounds.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.artifacts import read_json
from pipeline.core.expectations import Examination, Table
from pipeline.core.paths import Paths
from pipeline.tasks.recommendation.data import checks
from pipeline.tasks.recommendation.data import tables as files
from pipeline.tasks.recommendation.parameters import Validate

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

Suite = list["Expectation"]


def validate(params: Any, paths: Paths, folder: Path) -> Examination:
    """Writes nothing into `folder`: what is expected of a shop shows in its tables alone."""
    return Examination(tables(params, paths.collected, paths.labelled))


def tables(params: Any, collected: Path, labelled: Path) -> Iterator[Table]:
    """The tables one after the other; those that no source fills are left out."""
    limits: Validate = params.validate
    period = params.collect.period
    yield Table("events", checks.events(collected, params.collect), events(limits))
    rows = checks.purchases(collected, labelled, period, params.prepare.split)
    yield Table("purchases", rows, purchases(limits))
    by_day = checks.days(rows["day"].to_numpy(), period)
    del rows
    yield Table("days", by_day, days(limits))
    yield Table("rules", checks.rules(read_json(labelled / "audit.json")), rules(limits))
    yield Table("products", checks.products(collected), products(limits), key="product")
    yield Table("customers", checks.customers(collected), customers(limits), key="customer")
    if checks.has_rows(collected / files.PROMOTIONS):
        yield Table("promotions", checks.promotions(collected), promotions(limits))
    if checks.has_rows(collected / files.CAMPAIGNS):
        yield Table("campaigns", checks.campaigns(collected), campaigns())
    if checks.has_rows(collected / files.COUPONS):
        yield Table("coupons", checks.coupons(collected), coupons(limits))


def events(limits: Validate) -> Suite:
    import great_expectations.expectations as gxe

    shares = limits.rule_share_max
    return [
        gxe.ExpectColumnMeanToBeBetween(column="without_customer", max_value=shares.without_customer),
        gxe.ExpectColumnMeanToBeBetween(column="without_time", max_value=shares.without_time),
        gxe.ExpectColumnMeanToBeBetween(column="other_week", max_value=limits.week_mismatch_share_max),
        gxe.ExpectColumnMeanToBeBetween(column="unknown_coupon", max_value=limits.unknown_coupon_share_max),
        gxe.ExpectColumnMinToBeBetween(column="discount", min_value=0),
    ]


def purchases(limits: Validate) -> Suite:
    import great_expectations.expectations as gxe

    wrong = (
        "unlisted",
        "unknown_customer",
        "out_of_order",
        "outside",
        "repeated",
        "other_store",
        "earlier_part",
    )
    return [
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
        gxe.ExpectColumnValuesToBeBetween(
            column="quantity", min_value=0, strict_min=True, max_value=limits.quantity_max
        ),
        gxe.ExpectColumnValuesToBeBetween(column="value", min_value=0, max_value=limits.value_max),
        gxe.ExpectColumnMinToBeBetween(column="discount", min_value=0),
        *(gxe.ExpectColumnSumToBeBetween(column=name, max_value=0) for name in wrong),
    ]


def days(limits: Validate) -> Suite:
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnMaxToBeBetween(
            column="without_purchases", max_value=limits.days_without_purchases_max
        )
    ]


def rules(limits: Validate) -> Suite:
    """Every rule has a bound, and every bound a rule."""
    import great_expectations.expectations as gxe

    bounds = limits.rule_share_max.model_dump() | {
        "basket_hours_max": limits.basket_hours_max,
        "without_outcome_share": limits.without_outcome_share_max,
        "late_returns_share": limits.late_returns_share_max,
        "doubtful_share": limits.doubtful_share_max,
        "ambiguous_types": limits.ambiguous_types_max,
    }
    return [
        gxe.ExpectTableColumnsToMatchSet(column_set=list(bounds), exact_match=True),
        *(gxe.ExpectColumnMaxToBeBetween(column=name, max_value=most) for name, most in bounds.items()),
    ]


def products(limits: Validate) -> Suite:
    import great_expectations.expectations as gxe

    missing = {"category": limits.missing_category_share_max, "size": limits.missing_size_share_max}
    return [
        gxe.ExpectColumnValuesToNotBeNull(column="product"),
        gxe.ExpectColumnValuesToBeUnique(column="product"),
        gxe.ExpectColumnValuesToNotBeNull(column="name"),
        *(
            gxe.ExpectColumnMeanToBeBetween(column=f"without_{name}", max_value=most)
            for name, most in missing.items()
        ),
    ]


def customers(limits: Validate) -> Suite:
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToNotBeNull(column="customer"),
        gxe.ExpectColumnValuesToBeUnique(column="customer"),
        gxe.ExpectColumnMeanToBeBetween(
            column="undescribed", max_value=limits.unknown_demographics_share_max
        ),
    ]


def promotions(limits: Validate) -> Suite:
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnSumToBeBetween(
            column="repeated_share", max_value=limits.duplicate_promotion_share_max
        ),
        gxe.ExpectColumnSumToBeBetween(
            column="unlisted_share", max_value=limits.unlisted_promotion_share_max
        ),
        gxe.ExpectColumnValuesToBeInSet(column="weekday", value_set=[0]),
    ]


def campaigns() -> Suite:
    import great_expectations.expectations as gxe

    wrong = ("without_start", "ends_before_start", "repeated")
    return [gxe.ExpectColumnSumToBeBetween(column=name, max_value=0) for name in wrong]


def coupons(limits: Validate) -> Suite:
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnMeanToBeBetween(column="repeated", max_value=limits.duplicate_coupon_share_max),
        gxe.ExpectColumnMeanToBeBetween(column="unlisted", max_value=limits.unlisted_coupon_share_max),
    ]
