"""From the body of a request to questions and events; every refusal of what makes no sense.

Customers, products and stores that nobody knows are no error: the recommender says so in its notes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.core.errors import ParameterError
from pipeline.core.serve_parameters import Requests
from pipeline.tasks.recommendation.data.asking import KINDS, MODES, Ask, Event, Id, Kind, Mode
from serving.http_errors import HttpError, shown
from serving.request_body import check_fields

DEMOGRAPHICS_MAX = 50  # attributes
TEXT_MAX = 200  # characters of an id or an attribute, as many as the log's columns hold
QUANTITY_MAX = 1e6
VALUE_MAX = 1e9
# Earlier ones are mistakes, and the first of all have no day in every time zone.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)  # what clocks that disagree may put an event into the future

ASK_FIELDS = ("customer_id", "basket", "k", "mode", "exclude", "store_id", "demographics")
EVENT_FIELDS = (("customer_id", "product_id", "kind"), ("quantity", "value", "time"))


@dataclass(frozen=True)
class Limits:
    """answer: products of one; basket: products in `basket`, and in `exclude`; events: of one request."""

    answer: int
    basket: int
    events: int

    @classmethod
    def of(cls, requests: Requests) -> "Limits":
        if requests.lists is None:
            raise ParameterError(
                "serve.requests.lists: null is not allowed for a recommendation service. "
                "Set answer_max and basket_max, as the shipped project retail has them."
            )
        return cls(requests.lists.answer_max, requests.lists.basket_max, requests.batch_max)


def ask(given: dict[str, Any], limits: Limits) -> Ask:
    """The question in the body of /recommend. A field that is null counts as left out."""
    check_fields(given, [], ASK_FIELDS)
    said = {name: value for name, value in given.items() if value is not None}
    customer, store = said.get("customer_id"), said.get("store_id")
    return Ask(
        customer=None if customer is None else _id(customer, "customer_id"),
        basket=_ids(said.get("basket", []), "basket", limits.basket),
        k=_k(said.get("k", min(Ask.k, limits.answer)), limits.answer),
        mode=_mode(said.get("mode", Ask.mode)),
        exclude=_ids(said.get("exclude", []), "exclude", limits.basket),
        store=None if store is None else _id(store, "store_id"),
        demographics=_demographics(said.get("demographics", {})),
    )


def feedback(given: dict[str, Any]) -> tuple[str, Id, Kind]:
    """(prediction id, product, what became of it) in the body of /feedback."""
    check_fields(given, ["prediction_id", "product_id", "event"])
    if not isinstance(given["prediction_id"], str):
        raise HttpError("unknown_prediction", "prediction_id must be a string that /recommend gave.")
    return given["prediction_id"], _id(given["product_id"], "product_id"), _kind(given["event"], "event")


def events(given: dict[str, Any], now: datetime, limits: Limits) -> list[Event]:
    """The events in the body of /events; an error says which one. now: with a time zone."""
    check_fields(given, ["events"])
    listed = given["events"]
    if not isinstance(listed, list):
        raise HttpError("wrong_type", "events must be a list.")
    if not listed:
        raise HttpError("missing_field", "events must hold at least one event.")
    if len(listed) > limits.events:
        raise HttpError(
            "batch_too_large", f"One request may hold {limits.events} events, this one has {len(listed)}."
        )
    found = []
    for i, value in enumerate(listed):
        try:
            found.append(_event(value, now))
        except HttpError as error:
            raise error.within(f"events[{i}]") from None
    return found


def count(parameters: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number among the parameters of an address, 1 to `most`."""
    text = parameters.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise HttpError("out_of_range", f"{name} must be an integer from 1 to {most}, not {shown(text)}.")
    return int(text)


def _event(given: Any, now: datetime) -> Event:
    if not isinstance(given, dict):
        raise HttpError("wrong_type", f"an event must be an object, not {shown(given)}.")
    check_fields(given, *EVENT_FIELDS)
    said = {name: value for name, value in given.items() if value is not None}
    check_fields(said, *EVENT_FIELDS)
    quantity = _number(said.get("quantity", Event.quantity), "quantity", QUANTITY_MAX)
    if not quantity:
        raise HttpError("out_of_range", "quantity must be greater than 0.")
    return Event(
        customer=_id(said["customer_id"], "customer_id"),
        product=_id(said["product_id"], "product_id"),
        kind=_kind(said["kind"], "kind"),
        at=_time(said["time"], now) if "time" in said else now,
        quantity=quantity,
        value=_number(said.get("value", Event.value), "value", VALUE_MAX),
    )


def _id(value: Any, name: str) -> Id:
    if type(value) is int:
        return value
    if not isinstance(value, str):
        raise HttpError("wrong_type", f"{name} must be a string or an integer, not {shown(value)}.")
    return _text(value, name)


def _text(value: str, name: str) -> str:
    if len(value) > TEXT_MAX:
        raise HttpError("too_long", f"{name} may have {TEXT_MAX} characters, this one has {len(value)}.")
    if not value or not value.isprintable():  # PostgreSQL stores no NUL
        raise HttpError("out_of_range", f"{name} must hold characters that can be printed.")
    return value


def _ids(value: Any, name: str, most: int) -> tuple[Id, ...]:
    if not isinstance(value, list):
        raise HttpError("wrong_type", f"{name} must be a list of product ids, not {shown(value)}.")
    if len(value) > most:
        raise HttpError("too_long", f"{name} may hold {most} products, this one holds {len(value)}.")
    return tuple(_id(item, f"{name}[{i}]") for i, item in enumerate(value))


def _k(value: Any, most: int) -> int:
    if type(value) is not int:
        raise HttpError("wrong_type", f"k must be an integer, not {shown(value)}.")
    if not 1 <= value <= most:
        raise HttpError("out_of_range", f"k must be from 1 to {most}, not {value}.")
    return value


def _mode(value: Any) -> Mode:
    for mode in MODES:
        if value == mode:
            return mode
    raise HttpError("unknown_mode", f"{shown(value)} is not a mode. Modes: {', '.join(MODES)}.")


def _kind(value: Any, name: str) -> Kind:
    for kind in KINDS:
        if value == kind:
            return kind
    raise HttpError("unknown_event", f"{name} must be one of {', '.join(KINDS)}, not {shown(value)}.")


def _demographics(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise HttpError("wrong_type", f"demographics must be an object, not {shown(value)}.")
    if len(value) > DEMOGRAPHICS_MAX:
        raise HttpError("too_long", f"demographics may hold {DEMOGRAPHICS_MAX} attributes.")
    return {
        _text(name, "an attribute of demographics"): str(_id(said, f"demographics.{name[:TEXT_MAX]}"))
        for name, said in value.items()
    }


def _number(value: Any, name: str, most: float) -> float:
    if type(value) not in (int, float):
        raise HttpError("wrong_type", f"{name} must be a number, not {shown(value)}.")
    if not 0 <= value <= most:
        raise HttpError("out_of_range", f"{name} must be from 0 to {most:,.0f}, not {value:g}.")
    return float(value)


def _time(value: Any, now: datetime) -> datetime:
    """In UTC."""
    if not isinstance(value, str):
        raise HttpError("wrong_type", f"time must be a string, not {shown(value)}.")
    try:
        found = datetime.fromisoformat(value)
        if found.tzinfo is None:
            raise ValueError("it has no time zone")
        found = found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise HttpError(
            "bad_time",
            f"time must be as in 2026-03-01T18:30:00+01:00, not {shown(value)}: {error}.",
        ) from None
    if found < EARLIEST:
        raise HttpError("bad_time", f"time lies before {EARLIEST.year}: {shown(value)}.")
    if found > now + AHEAD:
        raise HttpError("bad_time", f"time lies in the future: {shown(value)}.")
    return found
