"""What the application answers to every way to ask; what it refuses is in test_bad_input.py."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.core.errors import ParameterError
from pipeline.log.prediction_log import read_predictions
from serving import application
from serving.follower_metrics import follower_metrics
from serving.http_errors import COMMON, IMAGES, STATUS
from serving.image_application import ImageApplication, ImageState
from serving.image_log import ImageLog
from serving.image_metrics import image_metrics
from serving.image_model import ImageModel, load
from serving.metrics import metrics
from tests.serving.answers import refused
from tests.serving.asgi_client import AsgiClient
from tests.serving.documented import with_parameter
from tests.serving.pictures import digit, encoded
from tests.serving.synthetic import DIGITS, SETTINGS, SHOP_SETTINGS, write_package

PNG, JPEG, JSON = ({"content-type": kind} for kind in ("image/png", "image/jpeg", "application/json"))
GOOD = digit().tolist()
PICTURE = encoded(digit())


def offline(model: ImageModel, image: np.ndarray) -> dict[str, float]:
    row = model.probabilities(image[np.newaxis, np.newaxis])[0]
    return dict(zip(model.classes, row.tolist(), strict=True))


@pytest.mark.parametrize(
    "request_",
    [
        {"content": PICTURE, "headers": PNG},
        {"content": PICTURE, "headers": {"content-type": "IMAGE/PNG; x=y"}},
        {"json": {"pixels": GOOD}},
        {"files": {"image": ("digit.png", PICTURE, "image/png")}},
        {"files": {"image": ("digit", PICTURE, "application/octet-stream")}},
    ],
    ids=["png", "png with a parameter", "json", "form", "form without a type"],
)
def test_every_form_of_the_same_image_gets_the_offline_answer(
    client: AsgiClient, model: ImageModel, request_: dict[str, Any]
) -> None:
    response = client.post("/predict", **request_)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["probabilities"] == pytest.approx(offline(model, digit()), abs=1e-6)
    assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert answer["model"] == {"name": "digits", "version": "3"}
    assert len(answer["prediction_id"]) == 32


def test_jpeg(client: AsgiClient, model: ImageModel) -> None:
    smooth = np.add.outer(np.arange(28), np.arange(28)).astype(np.uint8) * 4
    answer = client.post("/predict", content=encoded(smooth, "JPEG", quality=100), headers=JPEG).json()
    assert answer["probabilities"] == pytest.approx(offline(model, smooth), abs=0.05)


def test_a_batch_is_answered_in_order(client: AsgiClient, model: ImageModel) -> None:
    images = [digit(seed) for seed in range(7)]
    items = [
        {"pixels": image.tolist()} if i % 2 else {"image_base64": base64.b64encode(encoded(image)).decode()}
        for i, image in enumerate(images)
    ]
    answers = client.post("/predict_batch", json={"items": items}).json()["predictions"]
    assert len({answer["prediction_id"] for answer in answers}) == 7
    for image, answer in zip(images, answers, strict=True):
        assert answer["probabilities"] == pytest.approx(offline(model, image), abs=1e-6)


def test_model(client: AsgiClient, model: ImageModel) -> None:
    assert client.get("/model").json() == {
        "name": "digits",
        "version": "3",
        "sha256": model.sha256,
        "classes": list(DIGITS),
        "image": {"channels": 1, "height": 28, "width": 28},
        "registry": {"followed": False, "reachable": None},
        "refused": [],
    }


def test_the_bad_item_of_a_batch_is_named(client: AsgiClient) -> None:
    body = {"items": [{"pixels": GOOD}, {"pixels": GOOD}, {"pixels": GOOD[:3]}]}
    message = refused(client.post("/predict_batch", json=body), "wrong_shape")
    assert message.startswith("items[2]: ")
    assert "28 rows of 28" in message


def test_the_largest_batch_is_answered(client: AsgiClient) -> None:
    body = {"items": [{"pixels": GOOD}] * 256}
    assert len(client.post("/predict_batch", json=body).json()["predictions"]) == 256


def test_base64_of_a_jpeg_is_no_path(client: AsgiClient) -> None:
    text = base64.b64encode(encoded(digit(), "JPEG")).decode()
    assert text.startswith("/9j/")
    assert client.post("/predict_batch", json={"items": [{"image_base64": text}]}).status_code == 200


def test_a_body_over_the_limit_is_refused_by_its_declared_length(client: AsgiClient) -> None:
    headers = PNG | {"content-length": str(SETTINGS.requests.body_max + 1)}
    response = client.post("/predict", content=b"never looked at", headers=headers)
    assert "8 MiB" in refused(response, "body_too_large")
    assert response.headers["connection"] == "close"


def test_a_client_that_stops_sending_is_let_go(state: ImageState) -> None:
    import asyncio

    requests = SETTINGS.requests.model_copy(update={"seconds_max": 0.05})
    impatient = SETTINGS.model_copy(update={"requests": requests})
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if sent:
            return {"type": "http.disconnect"}
        await asyncio.sleep(5)
        raise AssertionError("waited to the end")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/predict", "raw_path": b"/predict", "query_string": b"",
        "headers": [(b"content-type", b"image/png")], "http_version": "1.1", "scheme": "http",
        "server": ("test", 80), "client": ("test", 1), "root_path": "",
    }  # fmt: skip
    asyncio.run(ImageApplication(state, impatient)(scope, receive, send))
    assert sent[0]["status"] == 408


def predicted(client: AsgiClient) -> dict[str, Any]:
    answer: dict[str, Any] = client.post("/predict", json={"pixels": GOOD}).json()
    return answer


def test_feedback_is_stored_with_its_prediction(client: AsgiClient, log_url: str) -> None:
    answer = predicted(client)
    response = client.post("/feedback", json={"prediction_id": answer["prediction_id"], "label": "4"})
    assert response.status_code == 200
    assert response.json() == {
        "prediction_id": answer["prediction_id"],
        "label": "4",
        "agrees": answer["label"] == "4",
    }
    (row,) = read_predictions(log_url)
    assert (row["id"], row["feedback"]) == (answer["prediction_id"], "4")


def test_the_same_feedback_again_is_fine_another_is_a_conflict(client: AsgiClient) -> None:
    said = {"prediction_id": predicted(client)["prediction_id"], "label": "4"}
    assert client.post("/feedback", json=said).status_code == 200
    assert client.post("/feedback", json=said).status_code == 200
    message = refused(client.post("/feedback", json=said | {"label": "5"}), "conflicting_feedback")
    assert "'4'" in message
    assert "'5'" in message


def test_settings_of_another_task_are_told(state: ImageState) -> None:
    with pytest.raises(ParameterError, match=r"serve\.requests\.pictures: null is not allowed"):
        ImageApplication(state, SHOP_SETTINGS)


def test_unknown_paths_and_methods_are_answered_as_json(client: AsgiClient) -> None:
    refused(client.get("/nowhere"), "not_found")
    response = client.get("/predict")
    assert "POST" in refused(response, "method_not_allowed")
    assert response.headers["allow"] == "POST"


def test_an_unexpected_failure_says_nothing_of_the_inside(
    client: AsgiClient, state: ImageState, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(ImageModel, "probabilities", fail)
    message = refused(client.post("/predict", json={"pixels": GOOD}), "internal")
    assert "secret" not in message
    assert "secret detail" in caplog.text


def test_a_model_can_be_exchanged_between_requests(
    client: AsgiClient, state: ImageState, tmp_path: Path
) -> None:
    state.model = load(write_package(tmp_path / "other", seed=1), "4")
    assert client.get("/model").json()["version"] == "4"
    assert predicted(client)["model"]["version"] == "4"


@pytest.fixture
def colour(tmp_path: Path, log: ImageLog) -> AsgiClient:
    folder = write_package(tmp_path / "colour", project="signs", classes=("stop", "go"), image=(3, 12, 16))
    state = ImageState()
    state.model, state.log = load(folder, "1"), log
    return AsgiClient(ImageApplication(state, SETTINGS))


def test_colour_images_of_another_size(colour: AsgiClient) -> None:
    image = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    from_pixels = colour.post("/predict", json={"pixels": image.tolist()}).json()
    from_png = colour.post("/predict", content=encoded(image), headers=PNG).json()
    assert from_pixels["probabilities"] == pytest.approx(from_png["probabilities"], abs=1e-6)
    assert set(from_png["probabilities"]) == {"stop", "go"}
    message = refused(colour.post("/predict", json={"pixels": [[0] * 16] * 12}), "wrong_shape")
    assert "12 rows of 16 pixels of [red, green, blue]" in message
    grey = colour.post("/predict", content=encoded(digit()), headers=PNG)
    assert grey.status_code == 200


def test_the_page_and_the_description_are_served(client: AsgiClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for path in (
        "/docs",
        "/page/image_classification/page.js",
        "/page/service.js",
        "/page/page.css",
        "/page/icon.svg",
    ):
        assert client.get(path).status_code == 200
    assert client.get("/static_content/swagger-ui-bundle.js").status_code == 200
    assert client.get("/page/../image_input.py").status_code == 404


def test_the_page_asks_nobody_outside() -> None:
    for file in (path for path in application.PAGES.rglob("*") if path.is_file()):
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, file
        assert "https://" not in text, file
        assert "//cdn" not in text, file


def test_openapi_lists_every_route_and_error(client: AsgiClient) -> None:
    document = client.get("/docs.json").json()
    assert set(document["paths"]) == {"/predict", "/predict_batch", "/feedback", "/model"}
    codes = document["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]["enum"]
    assert set(codes) == set(COMMON | IMAGES)
    references = {
        part for part in json.dumps(document).split('"') if part.startswith("#/components/schemas/")
    }
    assert {ref.rpartition("/")[2] for ref in references} <= set(document["components"]["schemas"])


def test_the_documentation_names_every_error_and_counter() -> None:
    text = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
    for code in STATUS:
        assert f"`{code}`" in text, code
    for counter in (
        *vars(metrics()).values(),
        *vars(image_metrics()).values(),
        *vars(follower_metrics()).values(),
    ):
        assert counter._name.removeprefix("fullcycle_prediction_log") in text, counter._name


def test_an_answer_that_is_no_number_is_given_to_nobody(
    client: AsgiClient, model: ImageModel, state: ImageState, monkeypatch: pytest.MonkeyPatch, log_url: str
) -> None:
    """A network may be sound and overflow on one picture; whoever came with that one is answered."""
    white = np.full((28, 28), 255, dtype=np.uint8)
    probabilities = ImageModel.probabilities

    def overflowing(self: ImageModel, images: np.ndarray) -> np.ndarray:
        found = probabilities(self, images)
        found[(images == 255).all(axis=(1, 2, 3))] = np.nan
        return found

    monkeypatch.setattr(ImageModel, "probabilities", overflowing)
    refused(client.post("/predict", json={"pixels": white.tolist()}), "internal")
    refused(client.post("/predict_batch", json={"items": [{"pixels": white.tolist()}]}), "internal")
    assert client.post("/predict", json={"pixels": GOOD}).status_code == 200
    state.log.close()
    assert len(read_predictions(log_url)) == 1


def test_the_session_is_documented_where_a_challenger_may_answer(client: AsgiClient) -> None:
    assert with_parameter(client.get("/docs.json").json(), "X-Session-Id") == {"/predict", "/predict_batch"}
