"""Requests that no honest client sends, made by chance from good ones, as bytes for a socket."""

import json
import random
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from urllib.parse import urlsplit

import numpy as np

from serving.http_errors import STATUS
from tests.serving.pictures import digit, encoded, png_that_claims

SECONDS = 60.0  # longer than a service waits for a body
JSON = "application/json"
NASTY = (
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"9" * 400,
    b"null",
    b"true",
    b"-1",
    b"0.5",
    b'"\\ud800"',
    b"\xff\xfe",
    b"\0",
    b"{",
    b"[" * 2000,
    b'"http://127.0.0.1:1/"',
    b'"/etc/passwd"',
    b'"' + b"x" * 5000 + b'"',
)
TYPES = (
    "image/png",
    "image/jpeg",
    "image/gif",
    "IMAGE/PNG",
    JSON,
    "application/json; charset=utf-16",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "text/plain",
    "",
    "\x80/\xff",
)
TARGETS = (
    "/%00",
    "//",
    "/../../etc/passwd",
    "/page/../application.py",
    "/static_content/../../main.py",
    "/" + "x" * 8000,
    "/predict?url=http://127.0.0.1:1",
    "/customers/%ff%fe",
    "/customers?count=-1",
    "/customers?count=9e9&count=2",
    "/products",
    "/products?search=%00",
    "/model?x=1",
    "/docs.json",
    "/metrics/",
)
METHODS = ("POST", "POST", "POST", "GET", "PUT", "DELETE", "OPTIONS", "HEAD", "post", "TRACE", "\x01")
HEADERS = (
    b"Accept: \xff",
    b"Authorization: Bearer \xc3\x28",
    b"Connection: upgrade\r\nUpgrade: websocket",
    b"Content-Encoding: gzip",
    b"Cookie: a=b; ;;=",
    b"Expect: 100-continue",
    b"Host: ",
    b"Range: bytes=9-1",
    b"X-Forwarded-For: ' OR 1=1",
    b"X: " + b"y" * 9000,
)


@dataclass(frozen=True)
class Good:
    """A request that is right, to begin with."""

    path: str
    media_type: str
    body: bytes


PNG = encoded(digit())
JPEG = encoded(np.stack([digit(i) for i in range(3)], axis=2), "JPEG")
FORM = (
    b'--edge\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n'
    b"Content-Type: image/png\r\n\r\n" + PNG + b"\r\n--edge--\r\n"
)
ID = "0123456789abcdef" * 2


def images(side: int) -> tuple[Good, ...]:
    """side: pixels of the model's height and width; it takes grey."""
    pixels = {"pixels": [[255] * side] * side}
    return (
        Good("/predict", "image/png", PNG),
        Good("/predict", "image/png", png_that_claims(30000, 30000)),
        Good("/predict", "image/jpeg", JPEG),
        Good("/predict", "multipart/form-data; boundary=edge", FORM),
        Good("/predict", JSON, json.dumps(pixels).encode()),
        Good("/predict_batch", JSON, json.dumps({"items": [pixels] * 3}).encode()),
        Good("/feedback", JSON, json.dumps({"prediction_id": ID, "label": "3"}).encode()),
    )


EVENT = {"customer_id": "a", "product_id": 1001, "kind": "view"}
TOLD = {"quantity": 1.5, "value": 2, "time": "2026-03-01T18:30:00+01:00"}
SHOP = (
    Good("/recommend", JSON, b'{"customer_id": 7, "basket": [1001, "1002"], "k": 5, "mode": "mixed"}'),
    Good("/recommend", JSON, b'{"exclude": [1003], "store_id": 31, "demographics": {"age": "19-24"}}'),
    Good("/feedback", JSON, json.dumps({"prediction_id": ID, "product_id": 1001, "event": "cart"}).encode()),
    Good("/events", JSON, json.dumps({"events": [EVENT, EVENT | TOLD]}).encode()),
)


@dataclass(frozen=True)
class Hostile:
    """pieces: what is sent, with a pause between two; answered: whether HTTP owes an answer."""

    pieces: tuple[bytes, ...]
    answered: bool = True


def request(chance: random.Random, good: Sequence[Good]) -> Hostile:
    kinds = (_body, _body, _body, _body, _type, _head, _target, _length, _slow)
    return chance.choice(kinds)(chance, chance.choice(good))


def _body(chance: random.Random, good: Good) -> Hostile:
    return _whole(good.path, good.media_type, mutated(chance, good.body))


def _type(chance: random.Random, good: Good) -> Hostile:
    body = chance.choice((good.body, b"", mutated(chance, good.body)))
    return _whole(good.path, chance.choice(TYPES), body)


def _head(chance: random.Random, good: Good) -> Hostile:
    method, more = chance.choice(METHODS), chance.choice(HEADERS)
    return _whole(good.path, good.media_type, good.body, method, more + b"\r\n")


def _target(chance: random.Random, good: Good) -> Hostile:
    return _whole(chance.choice(TARGETS), good.media_type, good.body, chance.choice(("GET", "POST")))


def _length(chance: random.Random, good: Good) -> Hostile:
    """A length that is wrong: the body ends early, or its end passes for the next request."""
    size = len(good.body)
    two = f"{size}\r\nContent-Length: 0"
    wrong = chance.choice((size + 100, size // 2, 0, -1, "x", "1, 2", 10**30, "+1", two))
    start = _start("POST", good.path, good.media_type, wrong)
    return Hostile((start + b"\r\n" + good.body,), answered=False)


def _slow(chance: random.Random, good: Good) -> Hostile:
    (whole,) = _whole(good.path, good.media_type, good.body).pieces
    cuts = sorted(chance.sample(range(1, len(whole)), 3))
    return Hostile(tuple(whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)))


def _whole(path: str, media_type: str, body: bytes, method: str = "POST", more: bytes = b"") -> Hostile:
    return Hostile((_start(method, path, media_type, len(body)) + more + b"\r\n" + body,))


def _start(method: str, path: str, media_type: str, length: object) -> bytes:
    lines = (
        f"{method} {path} HTTP/1.1",
        "Host: x",
        f"Content-Type: {media_type}",
        f"Content-Length: {length}",
        "",
    )
    return "\r\n".join(lines).encode("latin-1")


def mutated(chance: random.Random, data: bytes) -> bytes:
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        a, b = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        b = min(b, a + chance.choice((1, 4, 64, 4096)))
        put = chance.choice((chance.randbytes(b - a), b"", data[a:b] * 3, chance.choice(NASTY)))
        data = data[:a] + put + data[b:]
    return data


def send(url: str, hostile: Hostile) -> int | None:
    """The status of the answer; None where none came and none was owed. AssertionError: it is wrong."""
    address = urlsplit(url)
    with socket.create_connection((str(address.hostname), address.port), SECONDS) as connection:
        try:
            for i, piece in enumerate(hostile.pieces):
                if i:
                    time.sleep(0.005)
                connection.sendall(piece)
            if not hostile.answered:
                connection.shutdown(socket.SHUT_WR)
            response = HTTPResponse(connection, method="HEAD" if hostile.pieces[0][:4] == b"HEAD" else None)
            response.begin()
            body = response.read()
        except (HTTPException, OSError) as error:
            assert not hostile.answered, (error, hostile)
            return None
    assert response.status < 500, (response.status, body, hostile)
    if response.status >= 400 and body and response.headers["content-type"] == JSON:
        assert STATUS[json.loads(body)["error"]["code"]] == response.status, (body, hostile)
    return response.status


def ask(url: str, good: Sequence[Good], requests: int, seed: int) -> Counter[int | None]:
    chance = random.Random(seed)
    return Counter(send(url, request(chance, good)) for _ in range(requests))
