"""What a recommendation service answers: every way to ask, every way to ask wrongly."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ParameterError
from pipeline.log.prediction_log import read_recommendations
from serving.http_errors import COMMON, RECOMMENDATION
from serving.recommendation_application import RecommendationApplication, RecommendationState
from serving.recommendation_metrics import recommendation_metrics
from tests.serving.answers import products, recommended, refused
from tests.serving.asgi_client import AsgiClient
from tests.serving.documented import with_parameter
from tests.serving.fake_recommender import FakeRecommender
from tests.serving.synthetic import SETTINGS

JSON = {"content-type": "application/json"}
NOW = datetime.now(UTC)


def test_settings_of_another_task_are_told(shop_state: RecommendationState) -> None:
    with pytest.raises(ParameterError, match=r"serve\.requests\.lists: null is not allowed"):
        RecommendationApplication(shop_state, SETTINGS)


def test_a_known_customer_gets_a_list_with_reasons(shop: AsgiClient) -> None:
    answer = recommended(shop, customer_id=7)
    assert answer.keys() == {"prediction_id", "items", "served_by", "model", "notes"}
    assert answer["model"] == {"name": "shop", "version": "7"}
    assert (answer["served_by"], answer["notes"]) == ("network", [])
    assert len(answer["prediction_id"]) == 32
    assert len(answer["items"]) == 10
    assert all(item.keys() == {"product_id", "name", "score", "reason"} for item in answer["items"])
    assert "times, every" in answer["items"][0]["reason"]


def test_ids_may_be_numbers_or_text(shop: AsgiClient) -> None:
    number = recommended(shop, customer_id=7, basket=[1001], exclude=[1002])
    text = recommended(shop, customer_id="7", basket=["1001"], exclude=["1002"])
    assert number["items"] == text["items"]
    assert all(type(product) is int for product in products(text))


def test_the_modes_give_other_lists(shop: AsgiClient) -> None:
    lists = {
        mode: products(recommended(shop, customer_id=7, mode=mode)) for mode in ("replenish", "discover")
    }
    assert lists["replenish"] and lists["discover"]
    assert not set(lists["replenish"]) & set(lists["discover"])


def test_what_is_excluded_or_in_the_basket_is_not_recommended(shop: AsgiClient) -> None:
    first, second, *_ = products(recommended(shop, customer_id=7))
    answer = products(recommended(shop, customer_id=7, basket=[first], exclude=[second], k=100))
    assert not {first, second} & set(answer)


@pytest.mark.parametrize(
    ("ask", "note"),
    [
        ({}, "what most others buy"),
        ({"customer_id": 999}, "customer 999 is unknown"),
        ({"customer_id": "nobody"}, "customer nobody is unknown"),
        ({"customer_id": 40}, "what most others buy"),
        ({"basket": [5, 1001]}, "product 5 is unknown"),
        ({"demographics": {"age": "25-34", "shoe size": 43}}, "what most others buy"),
        ({"customer_id": None, "basket": None, "k": None, "mode": None}, "what most others buy"),
    ],
    ids=[
        "nothing",
        "unknown number",
        "unknown text",
        "never bought",
        "unknown product",
        "attributes",
        "nulls",
    ],
)
def test_what_nobody_knows_is_no_error_and_is_said(shop: AsgiClient, ask: dict[str, Any], note: str) -> None:
    answer = recommended(shop, **ask)
    assert len(answer["items"]) == 10
    assert answer["served_by"] == "popularity"
    assert note in "; ".join(answer["notes"])


def test_every_exposed_item_is_logged(
    shop: AsgiClient, shop_state: RecommendationState, log_url: str
) -> None:
    first = recommended(shop, customer_id=7, k=5, mode="replenish")
    second = recommended(shop)
    shop_state.log.close()
    rows = {row["id"]: row for row in read_recommendations(log_url, project="shop")}
    row = rows[first["prediction_id"]]
    assert row["items"] == products(first)
    assert row["scores"] == [item["score"] for item in first["items"]]
    assert (row["customer"], row["mode"], row["served_by"]) == ("7", "replenish", "network")
    assert (row["project"], row["model_version"], row["feedback"]) == ("shop", "7", [])
    assert row["properties"]["history"] > 0
    assert rows[second["prediction_id"]]["customer"] is None


def as_json(value: Any) -> dict[str, Any]:
    return {"content": json.dumps(value), "headers": JSON}


def raw(content: bytes) -> dict[str, Any]:
    return {"content": content, "headers": JSON}


LONG = "x" * 201

BAD_QUESTIONS = [
    ("no content type", {"content": b"{}"}, "unsupported_media_type"),
    ("text", {"content": b"{}", "headers": {"content-type": "text/plain"}}, "unsupported_media_type"),
    ("a form", {"data": {"customer_id": "7"}}, "unsupported_media_type"),
    ("empty", raw(b""), "bad_json"),
    ("broken", raw(b'{"customer_id": 7'), "bad_json"),
    ("a list", as_json([7]), "bad_json"),
    ("null", as_json(None), "bad_json"),
    ("not utf-8", raw(b'{"customer_id": "\xff"}'), "bad_json"),
    ("half a character", raw(b'{"customer_id": "\\ud800"}'), "bad_json"),
    ("too deep", raw(b'{"basket": ' + b"[" * 100_000), "bad_json"),
    ("nan", raw(b'{"customer_id": NaN}'), "not_finite"),
    ("infinity", raw(b'{"k": Infinity}'), "not_finite"),
    ("1e999", raw(b'{"k": 1e999}'), "not_finite"),
    ("unknown field", as_json({"customer": 7}), "unknown_field"),
    ("one field too many", as_json({"customer_id": 7, "n": 3}), "unknown_field"),
    ("customer as a fraction", as_json({"customer_id": 7.5}), "wrong_type"),
    ("customer as a whole float", as_json({"customer_id": 7.0}), "wrong_type"),
    ("customer too large a number", raw(b'{"customer_id": ' + b"9" * 30 + b"}"), "wrong_type"),
    ("customer as a list", as_json({"customer_id": [7]}), "wrong_type"),
    ("customer as an object", as_json({"customer_id": {"id": 7}}), "wrong_type"),
    ("customer true", as_json({"customer_id": True}), "wrong_type"),
    ("customer without letters", as_json({"customer_id": ""}), "out_of_range"),
    ("customer with a NUL", as_json({"customer_id": "7\0"}), "out_of_range"),
    ("customer with a line break", as_json({"customer_id": "7\n"}), "out_of_range"),
    ("customer too long", as_json({"customer_id": LONG}), "too_long"),
    ("basket as text", as_json({"basket": "1001"}), "wrong_type"),
    ("basket as a number", as_json({"basket": 1001}), "wrong_type"),
    ("basket of lists", as_json({"basket": [[1001]]}), "wrong_type"),
    ("basket with null", as_json({"basket": [None]}), "wrong_type"),
    ("basket too long", as_json({"basket": [1001] * 1001}), "too_long"),
    ("exclude too long", as_json({"exclude": [1001] * 1001}), "too_long"),
    ("exclude of fractions", as_json({"exclude": [0.5]}), "wrong_type"),
    ("k 0", as_json({"k": 0}), "out_of_range"),
    ("k -1", as_json({"k": -1}), "out_of_range"),
    ("k 101", as_json({"k": 101}), "out_of_range"),
    ("k as text", as_json({"k": "10"}), "wrong_type"),
    ("k as a float", as_json({"k": 10.0}), "wrong_type"),
    ("k true", as_json({"k": True}), "wrong_type"),
    ("unknown mode", as_json({"mode": "surprise"}), "unknown_mode"),
    ("mode in capitals", as_json({"mode": "Mixed"}), "unknown_mode"),
    ("mode as a list", as_json({"mode": ["mixed"]}), "unknown_mode"),
    ("store as a fraction", as_json({"store_id": 1.5}), "wrong_type"),
    ("demographics as text", as_json({"demographics": "25-34"}), "wrong_type"),
    ("an attribute as a list", as_json({"demographics": {"age": ["25-34"]}}), "wrong_type"),
    ("an attribute without a name", as_json({"demographics": {"": "x"}}), "out_of_range"),
    ("an attribute too long", as_json({"demographics": {"age": LONG}}), "too_long"),
    ("attributes too many", as_json({"demographics": {f"a{i}": "x" for i in range(51)}}), "too_long"),
    ("body too large", raw(bytes((8 << 20) + 1)), "body_too_large"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "code"), [row[1:] for row in BAD_QUESTIONS], ids=[row[0] for row in BAD_QUESTIONS]
)
def test_bad_questions_are_refused(shop: AsgiClient, request_: dict[str, Any], code: str) -> None:
    refused(shop.post("/recommend", **request_), code)


def test_the_longest_lists_are_answered(shop: AsgiClient) -> None:
    answer = recommended(shop, customer_id=7, basket=[1001] * 1000, exclude=["1002"] * 1000, k=100)
    assert len(answer["items"]) == 38


def test_customers_and_their_history(shop: AsgiClient) -> None:
    assert shop.get("/customers?count=3").json() == {"customers": [1, 2, 3]}
    assert len(shop.get("/customers").json()["customers"]) == 20
    found = shop.get("/customers/7?count=2").json()
    assert found["known"]
    assert len(found["baskets"]) == 2 < found["basket_count"]
    assert found["baskets"][0]["day"] > found["baskets"][1]["day"]
    often = [product["baskets"] for product in found["products"]]
    assert often == sorted(often, reverse=True)
    assert shop.get("/customers/some%2Fbody").json() == {
        "customer_id": "some/body", "known": False, "basket_count": 0, "baskets": [], "products": [],
    }  # fmt: skip


def test_products_are_found_by_words(shop: AsgiClient) -> None:
    assert shop.get("/products?search=milk").json() == {
        "products": [{"product_id": 1001, "name": "FLUID MILK WHITE ONLY 1 GA"}]
    }
    assert shop.get("/products", params={"search": " "}).json() == {"products": []}
    assert len(shop.get("/products?search=oz&count=4").json()["products"]) == 4


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("/customers?count=0", "out_of_range"),
        ("/customers?count=101", "out_of_range"),
        ("/customers?count=x", "out_of_range"),
        ("/customers?count=²", "out_of_range"),
        ("/customers?page=2", "unknown_field"),
        ("/customers/7?count=1.5", "out_of_range"),
        ("/products", "missing_field"),
        ("/products?q=milk", "unknown_field"),
    ],
)
def test_bad_addresses_are_refused(shop: AsgiClient, address: str, code: str) -> None:
    refused(shop.get(address), code)


def test_model(shop: AsgiClient) -> None:
    assert shop.get("/model").json() == {
        "name": "shop",
        "version": "7",
        "sha256": "a5" * 32,
        "modes": ["replenish", "discover", "mixed"],
        "events": ["view", "cart", "purchase", "exposure", "redeem"],
        "attributes": {"age": ["19-24", "25-34", "35-44"], "income": ["Under 15K", "75-99K"]},
        "stores": [31, 32],
        "registry": {"followed": False, "reachable": None},
        "refused": [],
    }


def test_an_unexpected_failure_says_nothing_of_the_inside(
    shop: AsgiClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(FakeRecommender, "recommend", fail)
    assert "secret" not in refused(shop.post("/recommend", json={}), "internal")
    assert "secret detail" in caplog.text


def test_the_page_and_the_description_are_served(shop: AsgiClient) -> None:
    assert "recommendation/page.js" in shop.get("/").text
    for path in ("/docs", "/page/recommendation/page.js", "/page/recommendation/recommendation.css"):
        assert shop.get(path).status_code == 200
    document = shop.get("/docs.json").json()
    assert set(document["paths"]) == {
        "/recommend", "/feedback", "/events", "/customers", "/customers/{id}", "/products", "/model",
    }  # fmt: skip
    codes = document["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]["enum"]
    assert set(codes) == set(COMMON | RECOMMENDATION)
    references = {
        part for part in json.dumps(document).split('"') if part.startswith("#/components/schemas/")
    }
    assert {ref.rpartition("/")[2] for ref in references} <= set(document["components"]["schemas"])


def test_the_documentation_names_every_counter() -> None:
    text = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
    for counter in vars(recommendation_metrics()).values():
        assert counter._name in text, counter._name


def test_the_session_is_documented_where_a_challenger_may_answer(shop: AsgiClient) -> None:
    assert with_parameter(shop.get("/docs.json").json(), "X-Session-Id") == {"/recommend"}
