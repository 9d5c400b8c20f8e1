"""What params.yaml says of a source of events, products, ...: how it is brought, and how its
columns are called. `null` (or an empty list) says that the source has no such column.

The schema's names stand left, the source's right: `columns: {customer: household_id}`.
"""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from pipeline.core.parameters import Strict
from pipeline.core.source_parameters import DvcFileSource, FileSource, InboxSource, PypiSource, UrlSource

EventKind = Literal["view", "cart", "purchase", "exposure", "redeem"]
Columns = tuple[str, ...]  # several columns of the source: texts are joined, figures are added


class Reading(Strict):
    name: str = Field(pattern=r"^[a-z0-9_-]+$")
    licence: str
    format: Literal["parquet", "csv"]


class EventColumns(Strict):
    customer: str
    product: str | None
    time: str
    basket: str | None
    store: str | None
    week: str | None
    quantity: str | None
    value: str | None
    discount: Columns
    coupon: str | None
    campaign: str | None


class Kinds(Strict):
    """A column that says what kind of event a row is; values: its spelling of each kind."""

    column: str
    values: dict[str, EventKind] = Field(min_length=1)


class Events(Reading):
    """event: of all rows; or kinds: a column says it. resolution: `day` for dates without a time of day,
    which are local dates."""

    table: Literal["events"]
    event: EventKind | None
    kinds: Kinds | None
    resolution: Literal["second", "day"]
    columns: EventColumns

    @model_validator(mode="after")
    def _one_kind(self) -> "Events":
        if (self.event is None) == (self.kinds is None):
            raise ValueError("events need either `event` or `kinds`, the other null")
        return self

    @property
    def found_kinds(self) -> set[str]:
        """Every kind of event that the source may hold."""
        return {self.event} if self.event else set(self.kinds.values.values()) if self.kinds else set()


class ProductColumns(Strict):
    product: str
    name: Columns
    type: str | None
    category: str | None
    department: str | None
    manufacturer: str | None
    brand: str | None
    size: str | None


class Products(Reading):
    table: Literal["products"]
    columns: ProductColumns


class CustomerColumns(Strict):
    customer: str


class Customers(Reading):
    """attributes: columns of the source that describe the customer, each a text with few values."""

    table: Literal["customers"]
    columns: CustomerColumns
    attributes: Columns


class PromotionColumns(Strict):
    """Either `week`, a number, or `start`, the date of the week's first day."""

    product: str
    store: str | None
    week: str | None
    start: str | None
    display: str | None
    mailer: str | None

    @model_validator(mode="after")
    def _one_time(self) -> "PromotionColumns":
        if (self.week is None) == (self.start is None):
            raise ValueError("promotions need either `week` or `start`, the other null")
        return self


class Promotions(Reading):
    """none: values of display and mailer that say that there was none."""

    table: Literal["promotions"]
    columns: PromotionColumns
    none: tuple[str, ...]


class CampaignColumns(Strict):
    campaign: str
    customer: str | None
    start: str | None
    end: str | None
    type: str | None


class Campaigns(Reading):
    """Who received a campaign, or when it ran, or both; rows of all sources are joined by campaign."""

    table: Literal["campaigns"]
    columns: CampaignColumns


class CouponColumns(Strict):
    coupon: str
    product: str
    campaign: str | None


class Coupons(Reading):
    table: Literal["coupons"]
    columns: CouponColumns


class PypiEvents(Events, PypiSource):
    pass


class PypiProducts(Products, PypiSource):
    pass


class PypiCustomers(Customers, PypiSource):
    pass


class PypiPromotions(Promotions, PypiSource):
    pass


class PypiCampaigns(Campaigns, PypiSource):
    pass


class PypiCoupons(Coupons, PypiSource):
    pass


class FileEvents(Events, FileSource):
    pass


class FileProducts(Products, FileSource):
    pass


class FileCustomers(Customers, FileSource):
    pass


class FilePromotions(Promotions, FileSource):
    pass


class FileCampaigns(Campaigns, FileSource):
    pass


class FileCoupons(Coupons, FileSource):
    pass


class UrlEvents(Events, UrlSource):
    pass


class UrlProducts(Products, UrlSource):
    pass


class UrlCustomers(Customers, UrlSource):
    pass


class UrlPromotions(Promotions, UrlSource):
    pass


class UrlCampaigns(Campaigns, UrlSource):
    pass


class UrlCoupons(Coupons, UrlSource):
    pass


class DvcEvents(Events, DvcFileSource):
    pass


class DvcProducts(Products, DvcFileSource):
    pass


class DvcCustomers(Customers, DvcFileSource):
    pass


class DvcPromotions(Promotions, DvcFileSource):
    pass


class DvcCampaigns(Campaigns, DvcFileSource):
    pass


class DvcCoupons(Coupons, DvcFileSource):
    pass


class InboxEvents(InboxSource):
    """What the shop's service was told of; its columns are always the same (data/formats/captures.py)."""

    name: str = Field(pattern=r"^[a-z0-9_-]+$")
    licence: str
    table: Literal["events"]
    format: ClassVar[str] = "captures"
    event: ClassVar[EventKind | None] = None
    kinds: ClassVar[Kinds] = Kinds(column="kind", values={kind: kind for kind in get_args(EventKind)})
    resolution: ClassVar[Literal["second"]] = "second"
    columns: ClassVar[EventColumns] = EventColumns(
        customer="customer",
        product="product",
        time="time",
        basket=None,
        store=None,
        week=None,
        quantity="quantity",
        value="value",
        discount=(),
        coupon=None,
        campaign=None,
    )

    @property
    def found_kinds(self) -> set[str]:
        """None that could be counted upon: the inbox may be empty."""
        return set()


PypiTable = Annotated[
    PypiEvents | PypiProducts | PypiCustomers | PypiPromotions | PypiCampaigns | PypiCoupons,
    Field(discriminator="table"),
]
FileTable = Annotated[
    FileEvents | FileProducts | FileCustomers | FilePromotions | FileCampaigns | FileCoupons,
    Field(discriminator="table"),
]
UrlTable = Annotated[
    UrlEvents | UrlProducts | UrlCustomers | UrlPromotions | UrlCampaigns | UrlCoupons,
    Field(discriminator="table"),
]
DvcTable = Annotated[
    DvcEvents | DvcProducts | DvcCustomers | DvcPromotions | DvcCampaigns | DvcCoupons,
    Field(discriminator="table"),
]
Source = Annotated[PypiTable | FileTable | UrlTable | DvcTable | InboxEvents, Field(discriminator="kind")]
