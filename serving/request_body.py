"""Reading what a client sends, with limits, and telling it what is wrong with it."""

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from python_multipart.multipart import parse_options_header
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.types import Scope

from pipeline.core.serve_parameters import Admission, Requests
from serving.admission import overloaded
from serving.http_errors import HttpError, shown

MEBIBYTE = 1 << 20
# What a client still sends after it was refused must not be taken for its next request.
CLOSE = {"connection": "close"}
HELD = "fullcycle.held"  # where a request keeps how many bytes of its body are held


class Bodies:
    """How much memory the bodies of all requests take that are being read, wait, or are being answered: as
    many clients may come as like to, and a body may take its time."""

    def __init__(self, limits: Requests, bounds: Admission) -> None:
        self.held, self._most, self._bounds = 0, limits.bodies_max, bounds

    def hold(self, scope: Scope, size: int) -> None:
        """Bytes more of a request. HttpError: that is more than may be held."""
        if self.held + size > self._most:
            mib = self._most / MEBIBYTE
            raise overloaded(self._bounds, f"{mib:g} MiB of requests wait already", CLOSE)
        self.held += size
        scope[HELD] = scope.get(HELD, 0) + size

    def release(self, scope: Scope) -> None:
        """The request is answered."""
        self.held -= scope.pop(HELD, 0)


async def read(request: Request, limits: Requests, bodies: Bodies) -> bytes:
    """The body; one that is longer than allowed is refused before it is read. It counts among the `bodies`
    until they are told that the request is answered."""
    limit, seconds = limits.body_max, limits.seconds_max
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    chunks, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                bodies.hold(request.scope, len(chunk))
                chunks.append(chunk)
    except TimeoutError:
        message = f"The body was not complete after {seconds:g} seconds."
        raise HttpError("body_too_slow", message, CLOSE) from None
    return b"".join(chunks)


def _too_large(limit: int) -> HttpError:
    message = f"The body may have {limit / MEBIBYTE:g} MiB ({limit} bytes) at most."
    return HttpError("body_too_large", message, CLOSE)


def media_type(request: Request) -> str:
    return _bare(request.headers.get("content-type", ""))


def _bare(content_type: str) -> str:
    """Without parameters such as `charset`."""
    return content_type.partition(";")[0].strip().lower()


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises bad_json, or not_finite for NaN, Infinity and 1e999."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if _has_number_that_is_not_finite(body):
            raise HttpError("not_finite", "NaN, Infinity and numbers too large are not accepted.") from None
        raise HttpError("bad_json", f"The body is not valid UTF-8 JSON: {error}.") from None
    if not isinstance(value, dict):
        raise HttpError("bad_json", f"The body must be a JSON object, not {_json_type(value)}.")
    return value


def may_hold_booleans(body: bytes) -> bool:
    """Of JSON text; text that holds neither word has none."""
    return b"true" in body or b"false" in body


def _has_number_that_is_not_finite(body: bytes) -> bool:
    """Whether the body is what Python takes for JSON, apart from standard JSON's limits on numbers."""
    found = False

    def constant(_: str) -> None:
        nonlocal found
        found = True

    def number(text: str) -> float:
        nonlocal found
        value = float(text)
        found = found or math.isinf(value)
        return value

    try:
        json.loads(body, parse_constant=constant, parse_float=number, parse_int=number)
    except (ValueError, RecursionError):
        return False
    return found


def _json_type(value: Any) -> str:
    names = {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def check_fields(given: dict[str, Any], required: Iterable[str], optional: Iterable[str] = ()) -> None:
    required, allowed = tuple(required), (*required, *optional)
    unknown = sorted(given.keys() - set(allowed))
    if unknown:
        raise HttpError(
            "unknown_field", f"Unknown: {', '.join(map(shown, unknown[:5]))}. Allowed: {', '.join(allowed)}."
        )
    missing = [name for name in required if name not in given]
    if missing:
        raise HttpError("missing_field", f"Missing: {', '.join(missing)}.")


@dataclass(frozen=True)
class Part:
    """A file of a multipart form."""

    media_type: str
    data: bytes


async def multipart(request: Request, body: bytes) -> dict[str, Part | str]:
    """The fields of a multipart form whose bytes are read. A field given twice is refused."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    _, parameters = parse_options_header(request.headers.get("content-type"))
    if b"--%s--" % parameters.get(b"boundary", b"") not in body:
        raise HttpError("bad_multipart", "The multipart body is cut off, or its boundary is another.")
    # Some of Python's other encodings take the square of a text's length: minutes for a field of 1 MiB.
    if parameters.get(b"charset", b"utf-8").lower() not in (b"utf-8", b"utf8"):
        raise HttpError("bad_multipart", "A form must be in UTF-8.")
    parser = _InMemoryParser(request.headers, stream(), max_files=4, max_fields=4, max_part_size=MEBIBYTE)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HttpError("bad_multipart", f"The multipart body cannot be read: {error.message}") from None
    except Exception as error:  # python-multipart's callbacks fail in many ways on hostile input
        raise HttpError("bad_multipart", f"The multipart body cannot be read: {error}") from None
    given = form.multi_items()
    try:
        fields = {
            name: value
            if isinstance(value, str)
            else Part(_bare(value.content_type or ""), await value.read())
            for name, value in given
        }
    finally:
        await form.close()
    if len(fields) < len(given):
        raise HttpError("bad_multipart", "A field is given more than once.")
    return fields


class _InMemoryParser(MultiPartParser):
    """Parts stay in memory: the body is there already and its size is limited."""

    spool_max_size = 1 << 30
