"""Bad input, row by row as the service promises it: one code, one status, nothing of the inside, no harm.

Status and code stand here as numbers and words of their own: they are what clients build on.
"""

import base64
import json
import sys
import threading
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.ImageFile
import pytest
from PIL import Image

from pipeline.tasks.image_classification.data import pixels
from serving import image_input, request_body
from serving.image_application import BYTES_AT_ONCE
from serving.image_model import ImageModel
from tests.serving.answers import refused
from tests.serving.asgi_client import AsgiClient
from tests.serving.fake_recommender import FakeRecommender
from tests.serving.pictures import digit, encoded, jpeg_of_scans, png_that_claims, png_with

GOOD = digit().tolist()
PICTURE = encoded(digit())
PNG, JPEG, JSON = ({"content-type": kind} for kind in ("image/png", "image/jpeg", "application/json"))
FORM = "multipart/form-data; boundary=x"
PART = ("x.png", PICTURE, "image/png")
HEAD = b'--x\r\nContent-Disposition: form-data; name="image"; filename="x.png"\r\nContent-Type: image/png\r\n'
GIF = encoded(digit(), "GIF")
MEBIBYTE = 1 << 20
TOO_MUCH = bytes(8 * MEBIBYTE + 1)
URL = "http://192.0.2.1/7.png"
UNKNOWN = "0" * 32


@dataclass(frozen=True)
class Bad:
    what: str
    path: str
    request: dict[str, Any]


def typed(what: str, content: bytes, media_type: str = "", path: str = "/predict") -> Bad:
    return Bad(
        what, path, {"content": content, "headers": {"content-type": media_type} if media_type else {}}
    )


def png(what: str, content: bytes) -> Bad:
    return typed(what, content, "image/png")


def text(what: str, content: bytes, path: str = "/predict") -> Bad:
    return typed(what, content, "application/json", path)


def as_json(what: str, value: Any, path: str = "/predict") -> Bad:
    return text(what, json.dumps(value).encode(), path)


def batch(what: str, *items: Any, **more: Any) -> Bad:
    return as_json(what, {"items": list(items), **more}, "/predict_batch")


def base64_of(what: str, content: bytes | str) -> Bad:
    data = content if isinstance(content, str) else base64.b64encode(content).decode()
    return batch(what, {"image_base64": data})


def form(what: str, *parts: tuple[str, Any]) -> Bad:
    return Bad(what, "/predict", {"files": list(parts)})


def pixel(what: str, value: str) -> Bad:
    """Good pixels but one, which is written as given."""
    rows = [*GOOD[:5], [*GOOD[5][:7], "HERE", *GOOD[5][8:]], *GOOD[6:]]
    return text(what, json.dumps({"pixels": rows}).replace('"HERE"', value).encode())


def feedback(what: str, **said: Any) -> Bad:
    return as_json(what, {"prediction_id": UNKNOWN, "label": "4"} | said, "/feedback")


def in_chunks(what: str, path: str, media_type: str = "application/json") -> Bad:
    return Bad(what, path, {"chunked": True, "headers": {"content-type": media_type}})


IMAGES: dict[tuple[str, int, str], list[Bad]] = {
    ("undecodable, empty or truncated image", 400, "image_undecodable"): [
        png("empty", b""),
        png("random bytes", bytes(range(256))),
        png("truncated", PICTURE[: len(PICTURE) // 2]),
        png("header only", PICTURE[:20]),
        png("damaged", PICTURE[:90] + b"\0\0\0\0" + PICTURE[94:]),
        png("promising pixels it lacks", png_that_claims(3000, 3000)),
        typed("jpeg start only", b"\xff\xd8\xff\xe0", "image/jpeg"),
        form("empty part", ("image", ("x.png", b"", "image/png"))),
        base64_of("empty base64", ""),
        base64_of("no base64", "%%%"),
        base64_of("truncated base64", PICTURE[:100]),
        batch("base64 of another type", {"image_base64": 7}),
    ],
    ("more pixels than allowed", 413, "image_too_many_pixels"): [
        png("17 megapixels", png_that_claims(17_000, 1000)),
        png("a decompression bomb", png_that_claims(60_000, 60_000)),
        png("between Pillow's own limits", png_that_claims(10_000, 10_000)),
        base64_of("in a batch", png_that_claims(17_000, 1000)),
        form("in a form", ("image", ("x.png", png_that_claims(17_000, 1000), "image/png"))),
    ],
    ("unknown or lying type", 415, "unsupported_media_type"): [
        typed("none", PICTURE),
        typed("webp", PICTURE, "image/webp"),
        typed("text", b"7", "text/plain"),
        typed("svg", b"<svg/>", "image/svg+xml"),
        Bad("url-encoded form", "/predict", {"data": {"image": "x"}}),
        typed("png said to be jpeg", PICTURE, "image/jpeg"),
        png("jpeg said to be png", encoded(digit(), "JPEG")),
        png("gif said to be png", GIF),
        png("tiff said to be png", encoded(digit(), "TIFF")),
        form("bmp in a form", ("image", ("x.bmp", encoded(digit(), "BMP"), "image/bmp"))),
        form("gif said to be png in a form", ("image", ("x.png", GIF, "image/png"))),
        base64_of("gif in a batch", GIF),
        typed("picture where only JSON makes sense", PICTURE, "image/png", "/predict_batch"),
        typed("picture as feedback", PICTURE, "image/png", "/feedback"),
    ],
    ("missing field", 400, "missing_field"): [
        as_json("nothing", {}),
        form("text in place of a file", ("image", (None, "seven"))),
        as_json("batch of nothing", {}, "/predict_batch"),
        batch("no items"),
        batch("an empty item", {}),
        as_json("feedback without a label", {"prediction_id": UNKNOWN}, "/feedback"),
        as_json("feedback on nothing", {"label": "4"}, "/feedback"),
    ],
    ("URL or path as input", 400, "url_not_accepted"): [
        as_json("http", {"pixels": URL}),
        as_json("https in a field of its own", {"url": "https://192.0.2.1/7.png"}),
        as_json("file", {"image": "file:///etc/passwd"}),
        as_json("data", {"image": "data:image/png;base64,AAAA"}),
        as_json("path", {"image": "/etc/passwd"}),
        as_json("relative path", {"pixels": "../../secret.png"}),
        as_json("Windows path", {"pixels": "C:\\secret.png"}),
        form("in a form", ("image", (None, URL))),
        base64_of("in a batch", URL),
        base64_of("path in a batch", "/etc/passwd"),
    ],
    ("broken multipart", 400, "bad_multipart"): [
        typed("no boundary", PICTURE, "multipart/form-data"),
        typed("no form", b"no form at all", FORM),
        typed("empty", b"", FORM),
        typed("cut off in a header", HEAD[:60], FORM),
        typed("cut off in the picture", HEAD + b"\r\n" + PICTURE[:100], FORM),
        typed("another boundary", HEAD.replace(b"--x", b"--y") + b"\r\n7\r\n--y--\r\n", FORM),
        form("a field twice", ("image", PART), ("image", PART)),
        form("files too many", *[(f"image{i}", PART) for i in range(5)]),
    ],
    ("bad, too deep or non-UTF-8 JSON", 400, "bad_json"): [
        text("empty", b""),
        text("broken", b'{"pixels": [['),
        text("two values", b"{} {}"),
        text("too deep", b'{"pixels": ' + b"[" * 100_000),
        text("too deep, closed", b'{"pixels": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        text("objects too deep", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        text("not UTF-8", b'{"pixels": "\xff\xfe"}'),
        text("UTF-16", '{"pixels": 7}'.encode("utf-16")),
        text("half a character", b'{"pixels": "\\ud800"}'),
        as_json("a list", [GOOD]),
        as_json("null", None),
        as_json("items of another type", {"items": {"pixels": GOOD}}, "/predict_batch"),
        batch("an item of another type", GOOD),
        text("feedback cut off", b'{"label": "4', "/feedback"),
    ],
    ("NaN, infinity, 1e999", 400, "not_finite"): [
        pixel("NaN", "NaN"),
        pixel("infinity", "Infinity"),
        pixel("minus infinity", "-Infinity"),
        pixel("1e999", "1e999"),
        pixel("400 digits", "9" * 400),
        text("in a batch", b'{"items": [{"pixels": [[NaN]]}]}', "/predict_batch"),
        text("as a label", b'{"prediction_id": "x", "label": 1e999}', "/feedback"),
    ],
    ("a pixel that is none", 400, "out_of_range"): [
        pixel("256", "256"),
        pixel("-1", "-1"),
        pixel("1e30", "1" + "0" * 30),
        pixel("a fraction", "0.5"),
        pixel("a whole float", "1.0"),
        pixel("true", "true"),
        pixel("null", "null"),
        pixel("text", '"7"'),
    ],
    ("wrong shape, naming the right one", 400, "wrong_shape"): [
        as_json("no rows", {"pixels": []}),
        as_json("27 rows", {"pixels": GOOD[1:]}),
        as_json("ragged", {"pixels": [*GOOD[1:], [0]]}),
        as_json("flat", {"pixels": [0] * 784}),
        as_json("colour for a grey model", {"pixels": [[[0, 0, 0]] * 28] * 28}),
        as_json("not a list", {"pixels": 7}),
        batch("in a batch", {"pixels": GOOD}, {"pixels": [[0]]}),
    ],
    ("unknown field", 400, "unknown_field"): [
        as_json("one too many", {"pixels": GOOD, "threshold": 1}),
        as_json("misspelt", {"pixel": GOOD}),
        as_json("of a huge name", {"x" * MEBIBYTE: 1}),
        form("other part", ("picture", PART)),
        form("part too many", ("image", PART), ("more", PART)),
        batch("beside the items", {"pixels": GOOD}, k=1),
        batch("in an item", {"pixels": GOOD, "k": 1}),
        batch("both ways at once", {"pixels": GOOD, "image_base64": ""}),
        feedback("in feedback", comment="x"),
    ],
    ("body over the cap", 413, "body_too_large"): [
        *(text("whole", TOO_MUCH, path) for path in ("/predict", "/predict_batch", "/feedback")),
        *(in_chunks("in chunks", path) for path in ("/predict", "/predict_batch", "/feedback")),
        in_chunks("a picture in chunks", "/predict", "image/png"),
    ],
    ("batch over the cap", 413, "batch_too_large"): [batch("257 items", *[{"pixels": GOOD}] * 257)],
    ("unknown prediction id", 404, "unknown_prediction"): [
        feedback("made up"),
        feedback("empty", prediction_id=""),
        feedback("of another type", prediction_id=7),
        feedback("SQL", prediction_id="' or 1=1 --"),
        feedback("huge", prediction_id="x" * MEBIBYTE),
    ],
    ("label out of range, with the classes", 400, "unknown_label"): [
        feedback("no class", label="ten"),
        feedback("of another type", label=4),
        feedback("a list", label=["4"]),
        feedback("null", label=None),
        feedback("huge", label="x" * MEBIBYTE),
    ],
}  # fmt: skip


def rows(table: dict[tuple[str, int, str], list[Bad]]) -> list[Any]:
    return [
        pytest.param(bad, status, code, id=f"{what}: {bad.what} ({bad.path})")
        for (what, status, code), found in table.items()
        for bad in found
    ]


def send(client: AsgiClient, bad: Bad) -> Any:
    request = dict(bad.request)
    if request.pop("chunked", False):
        request["content"] = _endless()
    return client.post(bad.path, **request)


async def _endless() -> AsyncIterator[bytes]:
    for _ in range(64):
        yield bytes(MEBIBYTE)


@pytest.mark.parametrize(("bad", "status", "code"), rows(IMAGES))
def test_bad_input_is_refused(client: AsgiClient, bad: Bad, status: int, code: str) -> None:
    response = send(client, bad)
    message = refused(response, code)
    assert response.status_code == status
    if code == "wrong_shape":
        assert "28 rows of 28" in message
    if code == "unknown_label":
        assert "Classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9." in message
        assert message.endswith('Labels are text: "4".') == (bad.what == "of another type")
    if code == "unsupported_media_type" and bad.what == "none":
        assert message.startswith("The request has no Content-Type. Accepted: ")


SHOP: dict[tuple[str, int, str], list[Bad]] = {
    ("unknown type", 415, "unsupported_media_type"): [
        typed("none", b"{}", "", "/recommend"),
        typed("text", b"{}", "text/plain", "/events"),
    ],
    ("missing field", 400, "missing_field"): [
        as_json("no events", {"events": []}, "/events"),
        as_json("feedback on nothing", {"product_id": 1001, "event": "cart"}, "/feedback"),
    ],
    ("bad, too deep or non-UTF-8 JSON", 400, "bad_json"): [
        text("broken", b'{"customer_id": 7', "/recommend"),
        text("too deep", b'{"basket": ' + b"[" * 100_000, "/recommend"),
        text("not UTF-8", b'{"customer_id": "\xff"}', "/recommend"),
        text("events not UTF-8", b'{"events": "\xff"}', "/events"),
    ],
    ("NaN, infinity, 1e999", 400, "not_finite"): [
        text("NaN", b'{"customer_id": NaN}', "/recommend"),
        text("infinity", b'{"k": Infinity}', "/recommend"),
        text("1e999", b'{"events": [{"quantity": 1e999}]}', "/events"),
    ],
    ("unknown field", 400, "unknown_field"): [as_json("misspelt", {"customer": 7}, "/recommend")],
    ("body over the cap", 413, "body_too_large"): [
        *(text("whole", TOO_MUCH, path) for path in ("/recommend", "/feedback", "/events")),
        *(in_chunks("in chunks", path) for path in ("/recommend", "/feedback", "/events")),
    ],
    ("batch over the cap", 413, "batch_too_large"): [
        as_json("1,001 events", {"events": [{}] * 1001}, "/events"),
    ],
    ("unknown prediction id", 404, "unknown_prediction"): [
        as_json("made up", {"prediction_id": UNKNOWN, "product_id": 1001, "event": "cart"}, "/feedback"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("bad", "status", "code"), rows(SHOP))
def test_bad_input_to_a_shop_is_refused(shop: AsgiClient, bad: Bad, status: int, code: str) -> None:
    response = send(shop, bad)
    refused(response, code)
    assert response.status_code == status


def test_the_same_feedback_twice_is_fine_and_a_conflicting_one_is_not(client: AsgiClient) -> None:
    answer = client.post("/predict", json={"pixels": GOOD}).json()
    said = {"prediction_id": answer["prediction_id"], "label": "4"}
    assert [client.post("/feedback", json=said).status_code for _ in range(2)] == [200, 200]
    response = client.post("/feedback", json=said | {"label": "5"})
    refused(response, "conflicting_feedback")
    assert response.status_code == 409
    assert client.post("/feedback", json=said).status_code == 200


@pytest.mark.parametrize(
    "bad", IMAGES["more pixels than allowed", 413, "image_too_many_pixels"], ids=lambda b: b.what
)
def test_too_many_pixels_are_refused_before_anything_is_decoded(
    client: AsgiClient, monkeypatch: pytest.MonkeyPatch, bad: Bad
) -> None:
    decoded: list[str] = []
    monkeypatch.setattr(PIL.ImageFile.ImageFile, "load", lambda *_: decoded.append("load"))
    monkeypatch.setattr(image_input.pixels, "from_image", lambda *_: decoded.append("from_image"))
    refused(send(client, bad), "image_too_many_pixels")
    assert decoded == []
    send(client, png("a good one", PICTURE))
    assert decoded, "this is where decoding would be seen"


def test_pillow_is_asked_for_png_and_jpeg_alone(client: AsgiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    original = Image.open

    def watched(file: Any, mode: Any = "r", formats: Any = None) -> Any:
        asked.append(formats)
        return original(file, mode, formats)

    monkeypatch.setattr(Image, "open", watched)
    for request in (png("", PICTURE), base64_of("", PICTURE), form("", ("image", PART))):
        assert send(client, request).status_code == 200
    assert asked == [("PNG", "JPEG")] * 3


NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")


class Auditor:
    """A hook of the interpreter: sees what libraries and C code connect to and open. It cannot be removed."""

    def __init__(self) -> None:
        self.on = False
        self.seen: list[tuple[str, Any]] = []
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and (event == "open" or event in NETWORK):
            self.seen.append((event, arguments))


@contextmanager
def audited() -> Iterator[list[tuple[str, Any]]]:
    auditor = Auditor()
    auditor.on = True
    try:
        yield auditor.seen
    finally:
        auditor.on = False


def test_no_address_is_connected_to_and_no_path_opened(client: AsgiClient, tmp_path: Path) -> None:
    import socket

    secret = tmp_path / "secret.png"
    secret.write_bytes(PICTURE)
    with audited() as seen:
        for bad in IMAGES["URL or path as input", 400, "url_not_accepted"]:
            refused(send(client, bad), "url_not_accepted")
        for path in (str(secret), f"file://{secret}"):
            refused(client.post("/predict", json={"pixels": path}), "url_not_accepted")
        outside = [event for event, _ in seen if event in NETWORK]
        opened = [arguments[0] for event, arguments in seen if event == "open"]
        assert outside == []
        assert not {str(secret), "/etc/passwd"} & {str(path) for path in opened}
        secret.read_bytes()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("127.0.0.1", 9))
        assert seen[-1][0] == "socket.connect", "this is where a connection would be seen"
        assert str(secret) in [str(arguments[0]) for event, arguments in seen if event == "open"]


@pytest.mark.parametrize("path", ["/predict", "/predict_batch", "/feedback"])
def test_a_failure_shows_nothing_of_the_inside(
    client: AsgiClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret detail in /home/somebody/model.py")

    monkeypatch.setattr(ImageModel, "probabilities", fail)
    monkeypatch.setattr(request_body, "check_fields", fail)
    shows_nothing(client.post(path, json={"pixels": GOOD}))
    assert "secret detail" in caplog.text


@pytest.mark.parametrize("path", ["/customers", "/customers/7", "/products?search=milk", "/recommend"])
def test_a_failing_shop_shows_nothing_of_the_inside(
    shop: AsgiClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret detail in /home/somebody/model.py")

    for method in ("customers", "history", "search", "recommend"):
        monkeypatch.setattr(FakeRecommender, method, fail)
    shows_nothing(shop.post(path, json={}) if path == "/recommend" else shop.get(path))
    assert "secret detail" in caplog.text


def shows_nothing(response: Any) -> None:
    refused(response, "internal")
    assert response.status_code == 500
    for word in ("secret", "somebody", "RuntimeError", "Traceback", ".py", "line "):
        assert word not in response.text


def test_a_refusal_is_no_echo(client: AsgiClient) -> None:
    """An answer of megabytes to a request of megabytes would make the service work for attackers."""
    huge = [bad for found in IMAGES.values() for bad in found if bad.what in ("huge", "of a huge name")]
    assert len(huge) >= 3
    for bad in huge:
        assert len(send(client, bad).content) < 500, bad.what


@pytest.mark.parametrize("depth", [500, 1000, 1020])
def test_what_is_nested_deeper_than_python_can_tell_is_refused_as_anything_else(
    client: AsgiClient, shop: AsgiClient, depth: int
) -> None:
    deep = b"[" * depth + b"]" * depth
    label = b'{"prediction_id": "%s", "label": %s}' % (UNKNOWN.encode(), deep)
    refused(client.post("/feedback", content=label, headers=JSON), "unknown_label")
    for field, code in (("customer_id", "wrong_type"), ("k", "wrong_type"), ("mode", "unknown_mode")):
        body = b'{"%s": %s}' % (field.encode(), deep)
        refused(shop.post("/recommend", content=body, headers=JSON), code)


def test_a_refused_picture_tells_nothing_of_the_memory_it_lies_in(client: AsgiClient) -> None:
    junk = b"\xff\xd8\xff" + bytes(50)
    message = refused(client.post("/predict", content=junk, headers=JPEG), "image_undecodable")
    assert "0x" not in message


def test_a_jpeg_of_scans_without_end_is_refused_before_decoding(client: AsgiClient) -> None:
    """31 bytes for each scan of 16 megapixels keep a processor busy for 5 ms: 8 MiB for 20 minutes."""
    smooth = np.add.outer(np.arange(28), np.arange(28)).astype(np.uint8) * 4
    usual = client.post("/predict", content=jpeg_of_scans(smooth, 50), headers=JPEG)
    assert usual.status_code == 200, usual.text
    plain = client.post("/predict", content=encoded(smooth, "JPEG", progressive=True), headers=JPEG)
    assert usual.json()["probabilities"] == plain.json()["probabilities"], "these scans change nothing"
    message = refused(
        client.post("/predict", content=jpeg_of_scans(smooth, 200), headers=JPEG), "image_undecodable"
    )
    assert "100 scans" in message
    in_batch = base64.b64encode(jpeg_of_scans(smooth, 200)).decode()
    refused(client.post("/predict_batch", json={"items": [{"image_base64": in_batch}]}), "image_undecodable")


def test_scans_are_not_counted_in_what_only_comes_along(client: AsgiClient) -> None:
    """In the comment of a JPEG, or in the film that a telephone puts behind it."""
    like_scans = b"\xff\xda" * 500
    file = encoded(digit(), "JPEG", comment=like_scans) + like_scans
    assert client.post("/predict", content=file, headers=JPEG).status_code == 200


def test_a_picture_that_unfolds_holds_up_nobody(client: AsgiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """62 texts of 1 MiB each, in 64 KiB: they take a quarter of a second to unfold."""
    text = zlib.compress(bytes(1 << 20), 9)
    file = png_with(digit(), *((b"zTXt", b"k%d\0\0" % i + text) for i in range(60)))
    assert len(file) <= BYTES_AT_ONCE
    decoded_in = []
    from_image = pixels.from_image

    def seen(*given: Any) -> np.ndarray:
        decoded_in.append(threading.current_thread().name)
        return from_image(*given)

    monkeypatch.setattr(pixels, "from_image", seen)
    assert client.post("/predict", content=file, headers=PNG).status_code == 200
    assert client.post("/predict", content=PICTURE, headers=PNG).status_code == 200
    assert [name.startswith("predict") for name in decoded_in] == [True, False]


def test_feedback_of_megabytes_holds_up_nobody(client: AsgiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """To say what is wrong with 8 MiB of JSON takes seconds."""
    read_in = []
    json_object = request_body.json_object

    def seen(body: bytes) -> dict[str, Any]:
        read_in.append(threading.current_thread().name)
        return json_object(body)

    monkeypatch.setattr(request_body, "json_object", seen)
    content = b'{"label": [' + b"1," * 1000 + b"]}"
    refused(client.post("/feedback", content=content, headers=JSON), "bad_json")
    assert read_in[0].startswith("store")


@pytest.mark.parametrize("charset", ["punycode", "idna", "utf-16", "made-up"])
def test_a_form_is_not_decoded_by_what_the_client_names(client: AsgiClient, charset: str) -> None:
    """Of 1 MiB punycode takes minutes."""
    field = b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + b"a-" + b"b" * 100_000
    headers = {"content-type": f"{FORM}; charset={charset}"}
    began = time.process_time()
    refused(client.post("/predict", content=field + b"\r\n--x--\r\n", headers=headers), "bad_multipart")
    assert time.process_time() - began < 0.3
    part = HEAD + b"\r\n" + PICTURE + b"\r\n--x--\r\n"
    headers = {"content-type": f"{FORM}; charset=UTF-8"}
    assert client.post("/predict", content=part, headers=headers).status_code == 200


def test_large_numbers_of_pixels_count_over_all_pictures_of_a_request(client: AsgiClient) -> None:
    large = base64.b64encode(encoded(np.zeros((3900, 4000), dtype=np.uint8))).decode()
    response = client.post("/predict_batch", json={"items": [{"image_base64": large}] * 5})
    message = refused(response, "image_too_many_pixels")
    assert response.status_code == 413
    assert message.startswith("items[4]")
