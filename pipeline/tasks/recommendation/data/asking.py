"""What a recommender is asked, what it answers, and the live events that it is told of.

Ids are of the type that their source has, int or str, in all that goes out. Look-ups go by
`str(id)`: 42 and "42" are the same customer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypedDict, get_args

Id = str | int
Mode = Literal["replenish", "discover", "mixed"]
Kind = Literal["view", "cart", "purchase", "exposure", "redeem"]
MODES: tuple[Mode, ...] = get_args(Mode)
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Ask:
    """One question.

    customer: None for somebody who is not known by name; basket: products in the live basket;
    k: number of items wanted; mode: replenish is what the customer bought before, discover what he
    never bought, mixed both; exclude: products not to recommend; store: where the customer is;
    demographics: attribute -> value, for a customer of whom none are stored.
    """

    customer: Id | None
    basket: tuple[Id, ...] = ()
    k: int = 10
    mode: Mode = "mixed"
    exclude: tuple[Id, ...] = ()
    store: Id | None = None
    demographics: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """score: finite, greater is better, comparable within one answer; reason: for the customer to read."""

    product_id: Id
    name: str
    score: float
    reason: str


@dataclass(frozen=True)
class Answer:
    """items: best first, each product once.

    served_by: which model made the list ("network", "popularity", ...); notes: what of the question
    could not be used and what was done instead, one sentence each ("customer 77 is unknown");
    properties: figures of the question and the answer whose distribution shows drift.
    """

    items: tuple[Item, ...]
    served_by: str
    notes: tuple[str, ...] = ()
    properties: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """Something that a customer did. at: with a time zone; value: what was paid, in the data's currency."""

    customer: Id
    product: Id
    kind: Kind
    at: datetime
    quantity: float = 1.0
    value: float = 0.0


class BasketItem(TypedDict):
    product_id: Id
    name: str
    quantity: float


class Basket(TypedDict):
    """One of a customer's baskets, as Recommender.history gives them. day: YYYY-MM-DD, in local time."""

    day: str
    items: list[BasketItem]
