"""The page of `fullcycle labels review`, for one person on the same machine.

It writes files, so it answers only to itself: the Host must be this machine (no foreign name may be
pointed here), a POST must be JSON (a form of another site cannot send that) and of the same origin.
"""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pipeline.core.errors import FullcycleError, ParameterError
from pipeline.relabeling.reviewing import Review

PAGE = Path(__file__).parent / "page"
NAMES = ["127.0.0.1", "localhost"]
BODY_MAX = 1 << 16  # bytes
POLICY = ("default-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'")
HEADERS = {
    "content-security-policy": "; ".join(POLICY),
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}

Handler = Callable[[Request], Awaitable[Response]]


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def application(review: Review, picture: Callable[[str], bytes]) -> Starlette:
    """picture: from item_id to PNG"""

    async def page(_: Request) -> Response:
        return FileResponse(PAGE / "index.html", headers=HEADERS)

    async def state(_: Request) -> Response:
        return _json(review.state())

    async def image(request: Request) -> Response:
        item = request.query_params.get("item_id", "")
        if item not in review:
            raise Refused(404, f"item_id {item!r} is not under review.")
        return Response(picture(item), headers=HEADERS, media_type="image/png")

    async def decide(request: Request) -> Response:
        body = await _body(request)
        item, label = body.get("item_id"), body.get("label")
        if not isinstance(item, str) or not isinstance(label, str):
            raise Refused(400, "The body must say item_id and label, both as text.")
        review.decide(item, label)
        return _json({"item_id": item, "label": label})

    async def undo(request: Request) -> Response:
        await _body(request)
        item, label = review.undo()
        return _json({"item_id": item, "label": label})

    routes = [
        Route("/", page),
        Route("/state", _answering(state)),
        Route("/image", _answering(image)),
        Route("/decide", _answering(decide), methods=["POST"]),
        Route("/undo", _answering(undo), methods=["POST"]),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
    return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=NAMES)])


def _answering(handler: Handler) -> Handler:
    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as error:
            return _json({"error": str(error)}, error.status)
        except FullcycleError as error:
            return _json({"error": str(error)}, 400 if isinstance(error, ParameterError) else 409)
        except OSError as error:
            message = f"{error.filename}: {error.strerror}. The decision is not stored."
            return _json({"error": message}, 500)

    return endpoint


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object that the page itself sent."""
    origin = request.headers.get("origin")
    if origin is not None and origin != f"http://{request.headers['host']}":
        raise Refused(403, f"Requests from {origin} are not answered; only the page itself may ask.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, f"{kind or 'no content type'} is not accepted. Accepted: application/json.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MAX:
            raise Refused(413, f"The body may have {BODY_MAX} bytes at most.")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "The body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise Refused(400, "The body must be a JSON object.")
    return value


def _json(value: Any, status: int = 200) -> Response:
    return JSONResponse(value, status, HEADERS)
