"""The HTTP side of a recommendation service: a customer and his basket in, products out."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from pipeline.core.serve_parameters import Serve
from pipeline.tasks.recommendation.data.asking import KINDS, MODES, Answer, Ask, Basket, Event, Id
from serving import recommendation_input, recommendation_openapi, request_body
from serving.application import Application, Endpoint, Model, json_response, run
from serving.follower import Follower
from serving.prediction_log import new_id
from serving.recommendation_log import Recommendation, RecommendationLog
from serving.recommendation_metrics import recommendation_metrics
from serving.trial import Trial, client_key

LISTED_MAX = 100  # customers, products and baskets of one answer
LISTED = 20  # where the address does not say how many
UNKNOWN_SHOWN = 5  # unknown products named in a note


class Recommender(Model, Protocol):
    """What is asked of pipeline.tasks.recommendation.data.recommender.Recommender."""

    @property
    def attributes(self) -> Mapping[str, Sequence[str]]: ...
    @property
    def stores(self) -> Collection[Id]: ...
    def recommend(self, asks: Sequence[Ask], now: datetime | None = None) -> list[Answer]: ...
    def add_events(self, events: Sequence[Event]) -> None: ...
    def history(self, customer: Id) -> list[Basket]: ...
    def customers(self, count: int) -> Sequence[Id]: ...
    def search(self, text: str, count: int) -> list[dict[str, Any]]: ...
    def has_product(self, id_: Id, /) -> bool: ...
    def has_customer(self, id_: Id, /) -> bool: ...


class RecommendationState:
    """challenger: goes on with the same live events as `model`, so what one is told both know."""

    model: Recommender
    challenger: Recommender | None = None
    follower: Follower | None = None
    log: RecommendationLog
    trial: Trial[Recommender, Ask, Answer] | None = None


class RecommendationApplication(Application):
    page = "recommendation"

    def __init__(self, state: RecommendationState, settings: Serve) -> None:
        self.state, self.limits = state, recommendation_input.Limits.of(settings.requests)
        super().__init__(state, settings)

    def endpoints(self) -> Sequence[Endpoint]:
        return [
            Endpoint("/recommend", self.recommend, "POST", "predict"),
            Endpoint("/feedback", self.feedback, "POST", "feedback"),
            Endpoint("/events", self.events, "POST", "feedback"),
            Endpoint("/customers", self.customers, "GET", "predict"),
            Endpoint("/customers/{id:path}", self.customer, "GET", "predict"),
            Endpoint("/products", self.products, "GET", "predict"),
        ]

    def describe(self) -> dict[str, Any]:
        model = self.state.model
        attributes = {name: list(values) for name, values in model.attributes.items()}
        return {"modes": MODES, "events": KINDS, "attributes": attributes, "stores": list(model.stores)}

    def document(self) -> dict[str, Any]:
        return recommendation_openapi.document(self.state.model, self.limits)

    async def recommend(self, request: Request) -> Response:
        body, key = await self.json_body(request), client_key(request)
        return await run(self.predicting, self._recommend, self.state.model, body, key)

    def _recommend(self, model: Recommender, body: bytes, key: str | None) -> Response:
        ask = recommendation_input.ask(request_body.json_object(body), self.limits)
        # The same customer gets the same model, on whatever device.
        key = key if ask.customer is None else f"customer {ask.customer}"
        trial = self.state.trial
        asked = None if trial is None else trial.asked(model, key)
        if asked is None:
            (answer,) = model.recommend([ask])
        else:
            model, answer, asked = asked.answer(ask)
        now = datetime.now(UTC)
        logged = Recommendation(new_id(now), now, model.version, ask.customer, ask.mode, answer)
        self.state.log.add(logged)
        if asked is not None:
            asked.shown(ask, [logged.id], now)
        counters = recommendation_metrics()
        counters.recommendations.labels(model.version, answer.served_by, ask.mode).inc()
        counters.items.labels(ask.mode).inc(len(answer.items))
        return json_response(
            {
                "prediction_id": logged.id,
                "items": answer.items,  # orjson writes dataclasses
                "served_by": answer.served_by,
                "model": {"name": model.name, "version": model.version},
                "notes": answer.notes,
            }
        )

    async def feedback(self, request: Request) -> Response:
        return await run(self.storing, self._feedback, await self.json_body(request))

    def _feedback(self, body: bytes) -> Response:
        given = request_body.json_object(body)
        prediction_id, product, kind = recommendation_input.feedback(given)
        event, new = self.state.log.record_feedback(prediction_id, product, kind)
        if new:
            recommendation_metrics().events.labels(kind, "feedback").inc()
            if event is not None:
                self.state.model.add_events([event])
        return json_response(
            {"prediction_id": prediction_id, "product_id": product, "event": kind, "new": new}
        )

    async def events(self, request: Request) -> Response:
        return await run(self.storing, self._events, await self.json_body(request))

    def _events(self, body: bytes) -> Response:
        model, now = self.state.model, datetime.now(UTC)
        events = recommendation_input.events(request_body.json_object(body), now, self.limits)
        self.state.log.record_events(events, now)
        model.add_events(events)
        for kind, number in Counter(event.kind for event in events).items():
            recommendation_metrics().events.labels(kind, "shop").inc(number)
        unknown = sorted({str(event.product) for event in events if not model.has_product(event.product)})
        return json_response({"stored": len(events), "notes": _note_of_unknown(unknown)})

    async def customers(self, request: Request) -> Response:
        parameters = dict(request.query_params)
        request_body.check_fields(parameters, [], ["count"])
        count = recommendation_input.count(parameters, "count", LISTED, LISTED_MAX)
        found = await run(self.predicting, self.state.model.customers, count)
        return json_response({"customers": list(found)})

    async def customer(self, request: Request) -> Response:
        parameters = dict(request.query_params)
        request_body.check_fields(parameters, [], ["count"])
        count = recommendation_input.count(parameters, "count", LISTED, LISTED_MAX)
        return await run(self.predicting, self._customer, request.path_params["id"], count)

    def _customer(self, id_: str, count: int) -> Response:
        model = self.state.model
        baskets = model.history(id_)
        return json_response(
            {
                "customer_id": id_,
                "known": model.has_customer(id_),
                "basket_count": len(baskets),
                "baskets": baskets[:count],
                "products": _most_frequent(baskets, count),
            }
        )

    async def products(self, request: Request) -> Response:
        parameters = dict(request.query_params)
        request_body.check_fields(parameters, ["search"], ["count"])
        count = recommendation_input.count(parameters, "count", LISTED, LISTED_MAX)
        text = parameters["search"].strip()[: recommendation_input.TEXT_MAX]
        found = await run(self.predicting, self.state.model.search, text, count) if text else []
        return json_response({"products": found})


def _most_frequent(baskets: Sequence[Basket], count: int) -> list[dict[str, Any]]:
    """The products of most baskets, of equals the latest bought; baskets: newest first."""
    found: dict[Id, dict[str, Any]] = {}
    for basket in baskets:
        for item in basket["items"]:
            product = found.setdefault(
                item["product_id"],
                {"product_id": item["product_id"], "name": item["name"], "baskets": 0, "last": basket["day"]},
            )
            product["baskets"] += 1
    return sorted(found.values(), key=lambda product: product["baskets"], reverse=True)[:count]


def _note_of_unknown(products: Sequence[str]) -> list[str]:
    if not products:
        return []
    more = f" and {len(products) - UNKNOWN_SHOWN} more" if len(products) > UNKNOWN_SHOWN else ""
    return [
        f"unknown to the model, stored for the next training: {', '.join(products[:UNKNOWN_SHOWN])}{more}"
    ]
