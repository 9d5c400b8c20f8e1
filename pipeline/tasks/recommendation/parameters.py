"""The sections of a recommendation project in params.yaml."""

import difflib
import zoneinfo
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.core.parameters import (
    Count,
    Deploy,
    Expected,
    LongRun,
    Monitor,
    Plan,
    ProjectParameters,
    Register,
    Share,
    Strict,
)
from pipeline.core.serve_parameters import Serve
from pipeline.tasks.recommendation.recipe_parameters import Recipe
from pipeline.tasks.recommendation.source_parameters import Source


class ExpectedShop(Expected):
    """What planning assumes of the shop's data; a query is one question put to the network."""

    purchases: int = Count
    bytes_per_purchase: int = Count
    promotions: int = Field(ge=0)
    bytes_per_promotion: int = Count
    queries: int = Count
    network_mflop: float = Field(gt=0)
    passes: float = Field(gt=0)
    test_customers: int = Field(ge=2)
    paired_sd: float = Field(gt=0)


class Charter(Plan):
    min_items: int = Count
    min_customers: int = Count
    min_products: int = Count
    expected: ExpectedShop


class Timezone(Strict):
    """In which zone the sources wrote their times, and in which the shop lives."""

    recorded: str
    local: str

    @field_validator("recorded", "local")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            close = difflib.get_close_matches(name, zoneinfo.available_timezones(), n=1)
            hint = f", did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"{name!r} is no time zone of the IANA database{hint}") from None
        return name


class Period(Strict):
    """Days of the shop that count: from `first`, before `end`."""

    first: date
    end: date

    @model_validator(mode="after")
    def _ordered(self) -> "Period":
        if not self.first < self.end:
            raise ValueError(f"first must be before end, given {self.first} and {self.end}")
        return self


class Collect(Strict):
    """note: what whoever uses this data must know of it."""

    note: str
    timezone: Timezone
    first_week: date | None
    period: Period
    sources: tuple[Source, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _complete(self) -> "Collect":
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ValueError(f"sources must differ from each other, given {names}")
        if sum(source.kind == "inbox" for source in self.sources) > 1:
            raise ValueError("a project has one inbox: one source may be of `kind: inbox`")
        if not any(s.table == "events" and "purchase" in s.found_kinds for s in self.sources):
            raise ValueError("one source at least must be of `table: events` and hold purchases")
        weeks = [s.name for s in self.sources if s.table in ("events", "promotions") and s.columns.week]
        if weeks and self.first_week is None:
            raise ValueError(f"first_week says when week 1 begins; {', '.join(weeks)} number their weeks")
        return self


class Exclude(Strict):
    """Products that are no goods to recommend, by what the catalogue says of them, spelled exactly."""

    departments: tuple[str, ...]
    categories: tuple[str, ...]
    types: tuple[str, ...]


class Label(Strict):
    policy: str = Field(min_length=1)
    horizon_days: int = Count
    maturity_days: int = Field(ge=0)
    exclude: Exclude
    paid_zero_quantity: float = Field(gt=0)
    doubtful_ratio: float = Field(gt=1)
    queue_max: int = Count


class RuleShares(Strict):
    """Largest share of purchase lines (of baskets, where the rule counts baskets) for each rule of
    `label`; a rule without a bound could drop anything in silence."""

    without_customer: float = Share
    without_product: float = Share
    without_time: float = Share
    outside_period: float = Share
    returns: float = Share
    returned: float = Share
    absent_product: float = Share
    excluded_product: float = Share
    without_quantity: float = Share
    nothing_bought: float = Share
    paid_zero_quantity: float = Share
    free_goods: float = Share
    repeated_lines: float = Share
    without_basket: float = Share
    shared_baskets: float = Share
    same_day_baskets: float = Share


class Validate(Strict):
    rule_share_max: RuleShares
    quantity_max: float = Field(gt=0)
    value_max: float = Field(gt=0)
    week_mismatch_share_max: float = Share
    days_without_purchases_max: int = Field(ge=0)
    basket_hours_max: float = Field(gt=0)
    missing_category_share_max: float = Share
    missing_size_share_max: float = Share
    ambiguous_types_max: int = Field(ge=0)
    unknown_demographics_share_max: float = Share
    duplicate_promotion_share_max: float = Share
    unlisted_promotion_share_max: float = Share
    duplicate_coupon_share_max: float = Share
    unlisted_coupon_share_max: float = Share
    unknown_coupon_share_max: float = Share
    without_outcome_share_max: float = Share
    late_returns_share_max: float = Share
    doubtful_share_max: float = Share


class Split(Strict):
    """Cuts in time: train < val_from <= val < test_from <= test < end."""

    val_from: date
    test_from: date
    end: date

    @model_validator(mode="after")
    def _ordered(self) -> "Split":
        if not self.val_from < self.test_from < self.end:
            raise ValueError(
                "val_from must be before test_from, and that before end, "
                f"given {self.val_from}, {self.test_from}, {self.end}"
            )
        return self


class Prepare(Strict):
    split: Split


class Goals(Strict):
    gain_over_baseline_min: float = Field(ge=-1, le=1)
    recall_at_20_min: float = Share
    novel_recall_at_20_min: float = Share
    latency_p99_ms_max: float = Field(gt=0)
    drift_detection_min: float = Share
    false_alarms_max: float = Share


class Forecast(Strict):
    customer_shares: tuple[float, ...] = Field(min_length=3)
    repeats: int = Count
    questions: int = Count
    recipe: Recipe
    draws: int = Field(ge=50)
    seed: int

    @field_validator("customer_shares")
    @classmethod
    def _shares(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < share <= 1 for share in shares):
            raise ValueError(f"each share of the customers must lie above 0 and be 1 at most, given {shares}")
        return shares


class Train(Recipe, LongRun):
    clock: Literal["data", "wall"]
    seed: int


class Slices(Strict):
    """Groups of customers that are judged apart; leaves: of the tree that finds some by itself."""

    recall_at_20_min: float = Share
    customers_min: int = Field(ge=2)
    leaves: int = Field(ge=2)


Change = Literal[
    "missing_baskets",
    "missing_days",
    "noise_purchases",
    "shifted_days",
    "wrong_basket",
    "promotions_unknown",
    "demographics_unknown",
]
BehaviouralTest = Literal[
    "order_in_basket",
    "alone_or_in_a_batch",
    "repeated_lines",
    "bought_twice_more",
    "excluded_is_not_shown",
    "each_once_and_of_the_catalogue",
    "discover_is_new",
    "replenish_was_bought",
    "weekly_habit_is_listed",
]


class Robustness(Strict):
    """Changes of the input, the mildest severity of each first; kept_min: share of recall that it may cost at
    most."""

    customers: int = Field(ge=2)
    severities: dict[Change, tuple[float, ...]]
    kept_min: dict[Change, Annotated[float, Share]]

    @model_validator(mode="after")
    def _tried(self) -> "Robustness":
        empty = [name for name, severities in self.severities.items() if not severities]
        if empty:
            raise ValueError(f"severities must hold one number at least for each change, none for {empty}")
        if untried := set(self.kept_min) - set(self.severities):
            raise ValueError(f"kept_min names changes without severities: {', '.join(sorted(untried))}")
        return self


class Behaviour(Strict):
    """passed_min: name of the test -> share of the cases that must pass."""

    customers: int = Field(ge=2)
    passed_min: dict[BehaviouralTest, Annotated[float, Share]]


class Explanations(Strict):
    customers: int = Field(ge=2)
    error_max: float = Field(gt=0)
    recall_apart_min: float = Field(ge=-1, le=1)


class Evaluate(Strict):
    origins: int = Count
    every_days: int = Count
    first_basket_days: int = Count
    draws: int = Field(ge=100)
    worst: int = Count
    validation_questions: int = Field(ge=2)
    slices: Slices
    robustness: Robustness
    behaviour: Behaviour
    explanations: Explanations
    seed: int

    @model_validator(mode="after")
    def _first_basket_not_sooner(self) -> "Evaluate":
        if self.first_basket_days < self.every_days:
            raise ValueError(f"first_basket_days must be at least every_days, given {self.first_basket_days}")
        return self


class Parameters(ProjectParameters):
    goals: Goals
    plan: Charter
    collect: Collect
    label: Label
    validate_: Validate = Field(alias="validate")
    prepare: Prepare
    forecast: Forecast
    train: Train
    evaluate: Evaluate
    register_: Register = Field(alias="register")
    serve: Serve
    deploy: Deploy
    monitor: Monitor

    @model_validator(mode="after")
    def _split_within_period(self) -> "Parameters":
        split, period = self.prepare.split, self.collect.period
        if not period.first < split.val_from or split.end > period.end:
            raise ValueError(
                f"prepare.split ({split.val_from} to {split.end}) must lie in collect.period "
                f"({period.first} to {period.end}), and leave days before it to train on"
            )
        return self
