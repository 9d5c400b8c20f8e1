"""What the application answers: every way to ask, every way to ask wrongly."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.core.prediction_log import read_predictions
from serving import application
from serving.http_errors import COMMON, IMAGES, STATUS
from serving.image_application import ImageApplication, ImageState
from serving.image_log import ImageLog
from serving.image_metrics import image_metrics
from serving.image_model import ImageModel, load
from serving.metrics import metrics
from tests.serving.asgi_client import AsgiClient
from tests.serving.pictures import digit, encoded, png_that_claims
from tests.serving.synthetic import DIGITS, SETTINGS, write_package

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


def pixels_with(value: Any) -> bytes:
    """JSON text of good pixels, one of them replaced; NaN and the like are written as Python does."""
    rows = digit().tolist()
    rows[5][7] = "HERE"
    text = value if isinstance(value, str) else json.dumps(value)
    return json.dumps({"pixels": rows}).replace('"HERE"', text).encode()


def as_json(value: Any) -> dict[str, Any]:
    return {"content": json.dumps(value), "headers": JSON}


def raw_json(content: bytes) -> dict[str, Any]:
    return {"content": content, "headers": JSON}


def png(content: bytes) -> dict[str, Any]:
    return {"content": content, "headers": PNG}


def typed(content: bytes, media_type: str) -> dict[str, Any]:
    return {"content": content, "headers": {"content-type": media_type}}


def form(**parts: Any) -> dict[str, Any]:
    return {"files": parts}


GIF = base64.b64encode(encoded(digit(), "GIF")).decode()
JUST_TOO_MANY = {"items": [{"pixels": GOOD}] * 257}
FORM = "multipart/form-data; boundary=x"
CUT_OFF_FORM = b'--x\r\nContent-Disposition: form-data; name="image"\r\n'
PART = ("x.png", PICTURE, "image/png")

BAD_PREDICTIONS = [
    ("empty picture", png(b""), "image_undecodable"),
    ("random bytes", png(bytes(range(256))), "image_undecodable"),
    ("truncated png", png(PICTURE[: len(PICTURE) // 2]), "image_undecodable"),
    ("png header only", png(PICTURE[:20]), "image_undecodable"),
    ("damaged png", png(PICTURE[:90] + b"\0\0\0\0" + PICTURE[94:]), "image_undecodable"),
    ("jpeg start only", {"content": b"\xff\xd8\xff\xe0", "headers": JPEG}, "image_undecodable"),
    ("png promising pixels it lacks", png(png_that_claims(3000, 3000)), "image_undecodable"),
    ("17 megapixels", png(png_that_claims(17_000, 1000)), "image_too_many_pixels"),
    ("a decompression bomb", png(png_that_claims(60_000, 60_000)), "image_too_many_pixels"),
    ("between Pillow's limits", png(png_that_claims(10_000, 10_000)), "image_too_many_pixels"),
    ("no content type", {"content": PICTURE}, "unsupported_media_type"),
    ("unknown content type", typed(PICTURE, "image/webp"), "unsupported_media_type"),
    ("text", typed(b"7", "text/plain"), "unsupported_media_type"),
    ("url-encoded form", {"data": {"image": "x"}}, "unsupported_media_type"),
    ("png said to be jpeg", {"content": PICTURE, "headers": JPEG}, "unsupported_media_type"),
    ("gif said to be png", png(encoded(digit(), "GIF")), "unsupported_media_type"),
    ("bmp in a form", form(image=("x.bmp", encoded(digit(), "BMP"), "image/bmp")), "unsupported_media_type"),
    ("empty json", raw_json(b""), "bad_json"),
    ("broken json", raw_json(b'{"pixels": [['), "bad_json"),
    ("json of another shape", as_json([GOOD]), "bad_json"),
    ("json null", as_json(None), "bad_json"),
    ("not utf-8", raw_json(b'{"pixels": "\xff\xfe"}'), "bad_json"),
    ("too deep", raw_json(b'{"pixels": ' + b"[" * 100_000), "bad_json"),
    ("nothing", as_json({}), "missing_field"),
    ("unknown field", as_json({"pixels": GOOD, "threshold": 1}), "unknown_field"),
    ("misspelt field", as_json({"pixel": GOOD}), "unknown_field"),
    ("url as pixels", as_json({"pixels": "http://example.com/7.png"}), "url_not_accepted"),
    ("url field", as_json({"url": "https://example.com/7.png"}), "url_not_accepted"),
    ("file url", as_json({"image": "file:///etc/passwd"}), "url_not_accepted"),
    ("data url", as_json({"image": "data:image/png;base64,AAAA"}), "url_not_accepted"),
    ("path", as_json({"image": "/etc/passwd"}), "url_not_accepted"),
    ("relative path", as_json({"pixels": "../../secret.png"}), "url_not_accepted"),
    ("url in a form", form(image=(None, "http://example.com/7.png")), "url_not_accepted"),
    ("text in a form", form(image=(None, "seven")), "missing_field"),
    ("other part", form(picture=PART), "unknown_field"),
    ("two parts", {"files": [("image", PART), ("image", PART)]}, "bad_multipart"),
    ("part too many", form(image=PART, more=PART), "unknown_field"),
    ("no boundary", typed(PICTURE, "multipart/form-data"), "bad_multipart"),
    ("broken form", typed(b"no form at all", FORM), "bad_multipart"),
    ("cut off form", typed(CUT_OFF_FORM, FORM), "missing_field"),
    ("empty form part", form(image=("x.png", b"", "image/png")), "image_undecodable"),
    ("nan", raw_json(pixels_with("NaN")), "not_finite"),
    ("infinity", raw_json(pixels_with("Infinity")), "not_finite"),
    ("minus infinity", raw_json(pixels_with("-Infinity")), "not_finite"),
    ("1e999", raw_json(pixels_with("1e999")), "not_finite"),
    ("400 digits", raw_json(pixels_with("9" * 400)), "not_finite"),
    ("256", raw_json(pixels_with(256)), "out_of_range"),
    ("-1", raw_json(pixels_with(-1)), "out_of_range"),
    ("1e30", raw_json(pixels_with("1" + "0" * 30)), "out_of_range"),
    ("a fraction", raw_json(pixels_with(0.5)), "out_of_range"),
    ("a whole float", raw_json(pixels_with(1.0)), "out_of_range"),
    ("true", raw_json(pixels_with(True)), "out_of_range"),
    ("null", raw_json(pixels_with("null")), "out_of_range"),
    ("text as a pixel", raw_json(pixels_with('"7"')), "out_of_range"),
    ("no rows", as_json({"pixels": []}), "wrong_shape"),
    ("27 rows", as_json({"pixels": GOOD[1:]}), "wrong_shape"),
    ("ragged", as_json({"pixels": [*GOOD[1:], [0]]}), "wrong_shape"),
    ("flat", as_json({"pixels": [0] * 784}), "wrong_shape"),
    ("colour for a grey model", as_json({"pixels": [[[0, 0, 0]] * 28] * 28}), "wrong_shape"),
    ("not a list", as_json({"pixels": 7}), "wrong_shape"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "code"), [row[1:] for row in BAD_PREDICTIONS], ids=[row[0] for row in BAD_PREDICTIONS]
)
def test_bad_predictions_are_refused(client: AsgiClient, request_: dict[str, Any], code: str) -> None:
    refused(client.post("/predict", **request_), code)


def refused(response: Any, code: str) -> str:
    """Asserts the shape of a refusal; returns its message."""
    assert response.headers["content-type"] == "application/json"
    error = response.json()
    assert error.keys() == {"error"}
    assert error["error"].keys() == {"code", "message"}
    assert error["error"]["code"] == code, error
    assert response.status_code == STATUS[code]
    message = error["error"]["message"]
    assert message
    assert "Traceback" not in message
    assert ".py" not in message
    return str(message)


BAD_BATCHES = [
    ("nothing", {}, "missing_field"),
    ("no items", {"items": []}, "missing_field"),
    ("257 items", JUST_TOO_MANY, "batch_too_large"),
    ("items of another type", {"items": {"pixels": GOOD}}, "bad_json"),
    ("an item of another type", {"items": [GOOD]}, "bad_json"),
    ("an empty item", {"items": [{}]}, "missing_field"),
    ("unknown field", {"items": [{"pixels": GOOD}], "k": 1}, "unknown_field"),
    ("unknown field in an item", {"items": [{"pixels": GOOD, "k": 1}]}, "unknown_field"),
    ("both ways at once", {"items": [{"pixels": GOOD, "image_base64": ""}]}, "unknown_field"),
    ("url", {"items": [{"image_base64": "http://example.com/7.png"}]}, "url_not_accepted"),
    ("path", {"items": [{"image_base64": "/etc/passwd"}]}, "url_not_accepted"),
    ("no base64", {"items": [{"image_base64": "%%%"}]}, "image_undecodable"),
    ("not text", {"items": [{"image_base64": 7}]}, "image_undecodable"),
    ("empty picture", {"items": [{"image_base64": ""}]}, "image_undecodable"),
    ("gif", {"items": [{"image_base64": GIF}]}, "unsupported_media_type"),
    ("wrong shape", {"items": [{"pixels": [[0]]}]}, "wrong_shape"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "code"), [row[1:] for row in BAD_BATCHES], ids=[row[0] for row in BAD_BATCHES]
)
def test_bad_batches_are_refused(client: AsgiClient, body: dict[str, Any], code: str) -> None:
    refused(client.post("/predict_batch", json=body), code)


def test_the_bad_item_of_a_batch_is_named(client: AsgiClient) -> None:
    body = {"items": [{"pixels": GOOD}, {"pixels": GOOD}, {"pixels": GOOD[:3]}]}
    message = refused(client.post("/predict_batch", json=body), "wrong_shape")
    assert message.startswith("items[2]: ")
    assert "28 rows of 28" in message


def test_the_largest_batch_is_answered(client: AsgiClient) -> None:
    body = {"items": [{"pixels": GOOD}] * 256}
    assert len(client.post("/predict_batch", json=body).json()["predictions"]) == 256


def test_pictures_of_a_batch_share_one_budget_of_pixels(client: AsgiClient) -> None:
    large = base64.b64encode(encoded(np.zeros((3900, 4000), dtype=np.uint8))).decode()
    body = {"items": [{"image_base64": large}] * 5}
    message = refused(client.post("/predict_batch", json=body), "image_too_many_pixels")
    assert message.startswith("items[4]")


def test_base64_of_a_jpeg_is_no_path(client: AsgiClient) -> None:
    text = base64.b64encode(encoded(digit(), "JPEG")).decode()
    assert text.startswith("/9j/")
    assert client.post("/predict_batch", json={"items": [{"image_base64": text}]}).status_code == 200


def test_a_body_over_the_limit_is_refused_by_its_declared_length(client: AsgiClient) -> None:
    headers = PNG | {"content-length": str(SETTINGS.requests.body_max + 1)}
    response = client.post("/predict", content=b"never looked at", headers=headers)
    assert "8 MiB" in refused(response, "body_too_large")
    assert response.headers["connection"] == "close"


def test_a_body_over_the_limit_is_refused_in_chunks(client: AsgiClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield bytes(1 << 20)

    refused(client.post("/predict", content=chunks(), headers=PNG), "body_too_large")


@pytest.mark.parametrize("path", ["/predict", "/predict_batch", "/feedback"])
def test_the_limit_holds_everywhere(client: AsgiClient, path: str) -> None:
    refused(client.post(path, content=bytes((8 << 20) + 1), headers=JSON), "body_too_large")


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


@pytest.mark.parametrize("path", ["/predict_batch", "/feedback"])
def test_only_json_where_only_json_makes_sense(client: AsgiClient, path: str) -> None:
    refused(client.post(path, content=PICTURE, headers=PNG), "unsupported_media_type")


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


BAD_FEEDBACK = [
    ("unknown prediction", {"prediction_id": "0" * 32, "label": "4"}, "unknown_prediction"),
    ("empty id", {"prediction_id": "", "label": "4"}, "unknown_prediction"),
    ("id of another type", {"prediction_id": 7, "label": "4"}, "unknown_prediction"),
    ("sql", {"prediction_id": "' or 1=1 --", "label": "4"}, "unknown_prediction"),
    ("unknown label", {"prediction_id": "0" * 32, "label": "ten"}, "unknown_label"),
    ("label of another type", {"prediction_id": "0" * 32, "label": 4}, "unknown_label"),
    ("label as a list", {"prediction_id": "0" * 32, "label": ["4"]}, "unknown_label"),
    ("no label", {"prediction_id": "0" * 32}, "missing_field"),
    ("no id", {"label": "4"}, "missing_field"),
    ("more", {"prediction_id": "0" * 32, "label": "4", "comment": "x"}, "unknown_field"),
]


@pytest.mark.parametrize(
    ("body", "code"), [row[1:] for row in BAD_FEEDBACK], ids=[row[0] for row in BAD_FEEDBACK]
)
def test_bad_feedback_is_refused(client: AsgiClient, body: dict[str, Any], code: str) -> None:
    message = refused(client.post("/feedback", json=body), code)
    if code == "unknown_label":
        assert "0, 1, 2" in message


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
    for counter in (*vars(metrics()).values(), *vars(image_metrics()).values()):
        assert counter._name.removeprefix("fullcycle_prediction_log") in text, counter._name
