"""Who may ask for what: tokens, what each is good for, and where a service listens without any."""

import hmac
from typing import Any

import pytest

from pipeline.core.errors import ParameterError, ServiceError
from pipeline.core.serve_parameters import TOKEN_VARIABLES
from serving import access
from serving.access import Access, refuse_open_door, tokens
from serving.image_application import ImageApplication, ImageState
from serving.recommendation_application import RecommendationApplication, RecommendationState
from tests.serving.answers import refused
from tests.serving.asgi_client import AsgiClient
from tests.serving.pictures import digit
from tests.serving.synthetic import SETTINGS, SHOP_SETTINGS

PREDICT, OLD, FEEDBACK, BOTH = "predict-" + "a" * 24, "predict-" + "b" * 24, "c" * 32, "d" * 32
GOOD = {"pixels": digit().tolist()}
SAID = {"prediction_id": "0" * 32, "label": "4"}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
def with_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLES["predict"], f"{PREDICT}, {OLD},{BOTH}")
    monkeypatch.setenv(TOKEN_VARIABLES["feedback"], f"{FEEDBACK},{BOTH}")


@pytest.fixture
def client(with_tokens: None, state: ImageState) -> AsgiClient:
    return AsgiClient(ImageApplication(state, SETTINGS))


@pytest.fixture
def shop(with_tokens: None, shop_state: RecommendationState) -> AsgiClient:
    return AsgiClient(RecommendationApplication(shop_state, SHOP_SETTINGS))


def test_without_a_token_the_scheme_is_said(client: AsgiClient) -> None:
    for response in (client.post("/predict", json=GOOD), client.get("/model")):
        refused(response, "unauthorized")
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "header",
    [
        "Bearer " + "x" * 32,
        f"Bearer {PREDICT[:-1]}",
        f"Bearer {PREDICT}x",
        f"Bearer {PREDICT},{OLD}",
        "Bearer ",
        "Bearer " + "\u00e9" * 16,
        "Bearer " + "x" * 50_000,
    ],
)
def test_a_wrong_token_is_unauthorized(client: AsgiClient, header: str) -> None:
    response = client.get("/model", headers={"authorization": header.encode()})
    refused(response, "unauthorized")
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("header", [f"Basic {PREDICT}", PREDICT, "", "Bearer"])
def test_another_scheme_is_no_token(client: AsgiClient, header: str) -> None:
    response = client.get("/model", headers={"authorization": header})
    refused(response, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("token", [PREDICT, OLD, BOTH])
def test_each_of_several_tokens_is_good(client: AsgiClient, token: str) -> None:
    assert client.post("/predict", json=GOOD, headers=bearer(token)).status_code == 200
    assert client.get("/model", headers={"authorization": f"bearer  {token} "}).status_code == 200


def test_a_token_is_good_for_what_it_was_given_for(client: AsgiClient) -> None:
    response = client.post("/feedback", json=SAID, headers=bearer(PREDICT))
    assert "'feedback'" in refused(response, "forbidden")
    assert response.status_code == 403
    assert response.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="feedback"'
    refused(client.post("/predict", json=GOOD, headers=bearer(FEEDBACK)), "forbidden")
    refused(client.post("/feedback", json=SAID, headers=bearer(FEEDBACK)), "unknown_prediction")
    refused(client.post("/feedback", json=SAID, headers=bearer(BOTH)), "unknown_prediction")


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        ("post", "/recommend", PREDICT),
        ("get", "/customers", PREDICT),
        ("get", "/customers/7", PREDICT),
        ("get", "/products?search=milk", PREDICT),
        ("get", "/model", PREDICT),
        ("post", "/feedback", FEEDBACK),
        ("post", "/events", FEEDBACK),
    ],
)
def test_every_path_of_a_shop_is_guarded(shop: AsgiClient, method: str, path: str, right: str) -> None:
    ask: Any = getattr(shop, method)
    body: dict[str, Any] = {"json": {}} if method == "post" else {}
    wrong = PREDICT if right == FEEDBACK else FEEDBACK
    assert ask(path, **body).status_code == 401
    assert ask(path, **body, headers=bearer(wrong)).status_code == 403
    assert ask(path, **body, headers=bearer(right)).status_code in (200, 400)


def test_pages_and_their_description_are_open(client: AsgiClient) -> None:
    for path in ("/", "/docs", "/docs.json", "/page/token.js", "/page/service.js"):
        assert client.get(path).status_code == 200, path


def test_nothing_is_read_of_a_request_without_a_token(client: AsgiClient) -> None:
    """Neither its body nor its type: an answer would tell what is behind the door."""
    refused(client.post("/predict", content=b"{", headers={"content-type": "text/plain"}), "unauthorized")


def test_all_known_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[tuple[int, int]] = []
    original = hmac.compare_digest

    def watched(first: bytes, second: bytes) -> bool:
        lengths.append((len(first), len(second)))
        return original(first, second)

    monkeypatch.setattr(access.hmac, "compare_digest", watched)
    guard = Access({"predict": frozenset({PREDICT, OLD}), "admin": frozenset({"e" * 40})})
    for token in (PREDICT, OLD, "e" * 40, "x", "x" * 1000):
        lengths.clear()
        guard.holder({"type": "http", "headers": [(b"authorization", b"Bearer " + token.encode())]})
        assert lengths == [(32, 32)] * 3, token


def test_no_variable_no_question(client_without: AsgiClient) -> None:
    assert client_without.get("/model").status_code == 200
    assert client_without.get("/model", headers=bearer("whatever")).status_code == 200


@pytest.fixture
def client_without(state: ImageState, monkeypatch: pytest.MonkeyPatch) -> AsgiClient:
    for variable in TOKEN_VARIABLES.values():
        monkeypatch.setenv(variable, "")
    return AsgiClient(ImageApplication(state, SETTINGS))


@pytest.mark.parametrize("given", ["short", "a" * 15, "a" * 32 + ",short", "with a space" * 3, "\u00e9" * 20])
def test_a_token_that_could_be_guessed_or_not_be_sent_is_refused(given: str) -> None:
    with pytest.raises(ParameterError, match="FULLCYCLE_TOKEN_FEEDBACK: a token has at least 16") as caught:
        tokens({"FULLCYCLE_TOKEN_FEEDBACK": given})
    assert given not in str(caught.value), "a secret belongs in no message"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1"])
def test_on_this_machine_no_token_is_needed(host: str) -> None:
    refuse_open_door(host, {})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:3000", ""])
def test_a_name_is_no_address_to_listen_on(host: str) -> None:
    with pytest.raises(ServiceError, match=f"--host {host}: not an IP address such as 127.0.0.1"):
        refuse_open_door(host, {})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7"])
def test_elsewhere_a_token_is_needed_or_a_clear_word(host: str) -> None:
    for environment in ({}, {"FULLCYCLE_WITHOUT_TOKENS": "no"}, {"FULLCYCLE_TOKEN_PREDICT": " , "}):
        with pytest.raises(
            ServiceError, match=f"{host} .* FULLCYCLE_TOKEN_PREDICT .*FULLCYCLE_WITHOUT_TOKENS=yes"
        ):
            refuse_open_door(host, environment)
    refuse_open_door(host, {"FULLCYCLE_TOKEN_PREDICT": PREDICT})
    refuse_open_door(host, {"FULLCYCLE_WITHOUT_TOKENS": "yes"})
