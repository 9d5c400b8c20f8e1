"""Feedback and events: on the disk before their answer, known to the next one, there after a restart."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.log.prediction_log import read_events, read_recommendations
from serving.metrics import metrics
from serving.recommendation_application import RecommendationApplication, RecommendationState
from serving.recommendation_log import RecommendationLog
from tests.serving.answers import products, recommended, refused
from tests.serving.asgi_client import AsgiClient
from tests.serving.fake_recommender import FakeRecommender
from tests.serving.synthetic import SHOP_SETTINGS

NOW = datetime.now(UTC)
JSON = {"content-type": "application/json"}
LONG = "x" * 201


def feedback(answer: dict[str, Any], event: str = "cart", place: int = 0) -> dict[str, Any]:
    return {
        "prediction_id": answer["prediction_id"],
        "product_id": products(answer)[place],
        "event": event,
    }


def test_feedback_is_stored_and_the_next_answer_knows_of_it(shop: AsgiClient, log_url: str) -> None:
    answer = recommended(shop, customer_id=7, mode="discover")
    said = feedback(answer, "purchase")
    response = shop.post("/feedback", json=said)
    assert response.status_code == 200
    assert response.json() == said | {"new": True}
    (event,) = read_events(log_url, project="shop")
    assert (event["customer"], event["product"], event["kind"]) == ("7", str(said["product_id"]), "purchase")
    assert event["prediction_id"] == answer["prediction_id"]
    (row,) = read_recommendations(log_url)
    assert row["feedback"] == [(str(said["product_id"]), "purchase")]
    again = recommended(shop, customer_id=7, mode="replenish", k=100)
    assert said["product_id"] in products(again)
    assert said["product_id"] not in products(recommended(shop, customer_id=7, mode="discover", k=100))


def test_the_same_feedback_again_counts_once(
    shop: AsgiClient, shop_state: RecommendationState, log_url: str
) -> None:
    said = feedback(recommended(shop, customer_id=7))
    assert shop.post("/feedback", json=said).json()["new"]
    again = shop.post("/feedback", json=said | {"product_id": str(said["product_id"])})
    assert again.status_code == 200
    assert not again.json()["new"]
    assert len(list(read_events(log_url))) == 1
    assert isinstance(shop_state.model, FakeRecommender)
    assert len(shop_state.model.live) == 1
    assert shop.post("/feedback", json=said | {"event": "purchase"}).json()["new"]
    assert len(list(read_events(log_url))) == 2


def test_feedback_of_nobody_is_stored_and_changes_no_customer(
    shop: AsgiClient, shop_state: RecommendationState, log_url: str
) -> None:
    assert shop.post("/feedback", json=feedback(recommended(shop))).status_code == 200
    (event,) = read_events(log_url)
    assert event["customer"] is None
    assert isinstance(shop_state.model, FakeRecommender)
    assert shop_state.model.live == []


SAID = {"prediction_id": "0" * 32, "product_id": 1001, "event": "cart"}
BAD_FEEDBACK = [
    ("unknown prediction", SAID, "unknown_prediction"),
    ("id of another type", SAID | {"prediction_id": 7}, "unknown_prediction"),
    ("no text for a database", SAID | {"prediction_id": "\0" * 32}, "unknown_prediction"),
    ("sql", SAID | {"prediction_id": "' or 1=1 --"}, "unknown_prediction"),
    ("unknown event", SAID | {"event": "like"}, "unknown_event"),
    ("event as a list", SAID | {"event": ["cart"]}, "unknown_event"),
    ("event null", SAID | {"event": None}, "unknown_event"),
    ("product null", SAID | {"product_id": None}, "wrong_type"),
    ("product as a list", SAID | {"product_id": [1001]}, "wrong_type"),
    ("no product", {"prediction_id": "0" * 32, "event": "cart"}, "missing_field"),
    ("nothing", {}, "missing_field"),
    ("more", SAID | {"label": "x"}, "unknown_field"),
]


@pytest.mark.parametrize(
    ("body", "code"), [row[1:] for row in BAD_FEEDBACK], ids=[row[0] for row in BAD_FEEDBACK]
)
def test_bad_feedback_is_refused(shop: AsgiClient, body: dict[str, Any], code: str) -> None:
    refused(shop.post("/feedback", json=body), code)


def test_feedback_on_a_product_that_was_not_shown_is_refused(shop: AsgiClient, log_url: str) -> None:
    answer = recommended(shop, customer_id=7, exclude=[1001])
    message = refused(shop.post("/feedback", json=feedback(answer) | {"product_id": 1001}), "not_recommended")
    assert "/events" in message
    assert list(read_events(log_url)) == []


def test_events_are_stored_and_live(shop: AsgiClient, log_url: str) -> None:
    """Also of a customer and a product that the model does not know."""
    body = {
        "events": [
            {"customer_id": "new", "product_id": 1003, "kind": "purchase", "quantity": 2, "value": 4.5},
            {"customer_id": "new", "product_id": 9999, "kind": "view", "time": "2026-03-01T18:30:00+01:00"},
        ]
    }
    response = shop.post("/events", json=body)
    assert response.status_code == 200, response.text
    assert response.json()["stored"] == 2
    assert "9999" in response.json()["notes"][0]
    first, second = sorted(read_events(log_url, project="shop"), key=lambda event: str(event["kind"]))
    assert (first["customer"], first["product"], first["quantity"], first["value"]) == (
        "new",
        "1003",
        2.0,
        4.5,
    )
    assert first["time"] == first["at"]
    assert second["time"] == datetime(2026, 3, 1, 17, 30, tzinfo=UTC)
    answer = recommended(shop, customer_id="new", mode="replenish")
    assert answer["served_by"] == "network"
    assert products(answer) == [1003]


EVENT = {"customer_id": 7, "product_id": 1001, "kind": "view"}
BAD_EVENTS = [
    ("nothing", {}, "missing_field"),
    ("no events", {"events": []}, "missing_field"),
    ("1001 events", {"events": [EVENT] * 1001}, "batch_too_large"),
    ("not a list", {"events": EVENT}, "wrong_type"),
    ("an event as text", {"events": ["view"]}, "wrong_type"),
    ("no kind", {"events": [{"customer_id": 7, "product_id": 1}]}, "missing_field"),
    ("customer null", {"events": [EVENT | {"customer_id": None}]}, "missing_field"),
    ("unknown kind", {"events": [EVENT | {"kind": "return"}]}, "unknown_event"),
    ("unknown field", {"events": [EVENT | {"store": 3}]}, "unknown_field"),
    ("a field beside", {"events": [EVENT], "k": 1}, "unknown_field"),
    ("customer true", {"events": [EVENT | {"customer_id": True}]}, "wrong_type"),
    ("product too long", {"events": [EVENT | {"product_id": LONG}]}, "too_long"),
    ("quantity 0", {"events": [EVENT | {"quantity": 0}]}, "out_of_range"),
    ("quantity -1", {"events": [EVENT | {"quantity": -1}]}, "out_of_range"),
    ("quantity too large", {"events": [EVENT | {"quantity": 1e7}]}, "out_of_range"),
    ("quantity as text", {"events": [EVENT | {"quantity": "1"}]}, "wrong_type"),
    ("quantity true", {"events": [EVENT | {"quantity": True}]}, "wrong_type"),
    ("value -1", {"events": [EVENT | {"value": -1}]}, "out_of_range"),
    ("value 1e300", {"events": [EVENT | {"value": 1e300}]}, "out_of_range"),
    ("time as a number", {"events": [EVENT | {"time": 1_700_000_000}]}, "wrong_type"),
    ("time as words", {"events": [EVENT | {"time": "yesterday"}]}, "bad_time"),
    ("time without a zone", {"events": [EVENT | {"time": "2026-03-01T18:30:00"}]}, "bad_time"),
    ("time before all times", {"events": [EVENT | {"time": "0001-01-01T00:00:00+14:00"}]}, "bad_time"),
    ("time that has no day in America", {"events": [EVENT | {"time": "0001-01-01T00:00:00Z"}]}, "bad_time"),
    ("time before computers", {"events": [EVENT | {"time": "1969-12-31T23:59:59Z"}]}, "bad_time"),
    ("time to come", {"events": [EVENT | {"time": (NOW + timedelta(days=3)).isoformat()}]}, "bad_time"),
]


@pytest.mark.parametrize(
    ("body", "code"), [row[1:] for row in BAD_EVENTS], ids=[row[0] for row in BAD_EVENTS]
)
def test_bad_events_are_refused(shop: AsgiClient, body: dict[str, Any], code: str, log_url: str) -> None:
    refused(shop.post("/events", json=body), code)
    assert list(read_events(log_url)) == []


def test_one_bad_event_refuses_all_and_is_named(shop: AsgiClient, log_url: str) -> None:
    body = {"events": [EVENT, EVENT, EVENT | {"kind": "?"}]}
    assert refused(shop.post("/events", json=body), "unknown_event").startswith("events[2]: ")
    assert list(read_events(log_url)) == []


def test_nan_in_an_event_is_refused(shop: AsgiClient) -> None:
    content = json.dumps({"events": [EVENT | {"quantity": float("nan")}]})
    refused(shop.post("/events", content=content, headers=JSON), "not_finite")


def test_the_most_events_are_stored_in_order(shop: AsgiClient, shop_state: RecommendationState) -> None:
    body = {"events": [EVENT | {"product_id": i} for i in range(1000)]}
    assert shop.post("/events", json=body).json()["stored"] == 1000
    assert [int(event.product) for part in shop_state.log.stored_events() for event in part] == list(
        range(1000)
    )


def test_a_restart_forgets_nothing(shop: AsgiClient, shop_state: RecommendationState, log_url: str) -> None:
    """What was acknowledged is in the log of the project, and comes back in the order of its coming."""
    shop.post("/events", json={"events": [EVENT | {"customer_id": "new", "kind": "purchase"}]})
    shop.post("/feedback", json=feedback(recommended(shop, customer_id=7), "purchase"))
    shop.post("/feedback", json=feedback(recommended(shop), "cart"))
    assert isinstance(shop_state.model, FakeRecommender)
    before = [(str(e.customer), str(e.product), e.kind, e.at) for e in shop_state.model.live]
    again = RecommendationLog(log_url, "shop", metrics())
    assert [(e.customer, e.product, e.kind, e.at) for part in again.stored_events() for e in part] == before
    again.close()
    other = RecommendationLog(log_url, "another shop", metrics())
    assert list(other.stored_events()) == []
    other.close()


def test_what_cannot_be_stored_is_not_acknowledged(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file, where a folder should be")
    shop_state = RecommendationState()
    model = FakeRecommender()
    shop_state.model = model
    shop_state.log = RecommendationLog(f"sqlite:///{tmp_path}/blocked/shop.db", "shop", metrics())
    shop = AsgiClient(RecommendationApplication(shop_state, SHOP_SETTINGS))
    response = shop.post("/events", json={"events": [EVENT]})
    refused(response, "log_unavailable")
    assert response.headers["retry-after"] == "5"
    assert model.live == []
    assert recommended(shop, customer_id=7)["items"]
    shop_state.log.close()
