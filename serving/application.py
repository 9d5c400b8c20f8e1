"""The HTTP side that every service has: an ASGI application that answers by itself (direct_service.py).

A task's application says which routes it adds, what /model tells and which folder of page/ holds
its page; how a request is read, answered, refused and counted is here.

BentoML's own request handling answers 500 to a damaged picture and 200 to NaN, has no limit on
bodies and fetches addresses: none of it is used. The paths that BentoML has for those who look after
a service (/livez, /readyz, /metrics) are answered here, too.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, Protocol, TypeVar

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from pipeline.core.serve_parameters import Permission, Serve
from serving import request_body
from serving.access import Access, tokens
from serving.admission import BoundedThreads, LoopDelay
from serving.http_errors import HttpError
from serving.metrics import answers, exposition, metrics
from serving.rate_limit import rate_limits
from serving.response_headers import with_headers

logger = logging.getLogger(__name__)

PREDICTION_THREADS = 8  # large requests may keep some busy, small ones pass by
STORING_THREADS = 8  # a log that hangs may hold these, and none of those that predict
PAGES = Path(__file__).parent / "page"
PAGE_HEADERS = {"cache-control": "no-cache"}
HEALTH = ("/livez", "/readyz", "/healthz")  # nobody is answered before the model is loaded
FOLLOWS_NOTHING = {"registry": {"followed": False, "reachable": None}, "refused": []}

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Endpoint:
    """What is answered at `path` (which may hold {parameters}) to `method`. needs: what a client must be
    allowed for it; None: nothing."""

    path: str
    handler: Handler
    method: str
    needs: Permission | None


# Raises HttpError for a request that must not be answered; nothing of its body is read by then.
Guard = Callable[[Request, Endpoint], None]


class Model(Protocol):
    """What answers. name, version: as in the registry; sha256: of the network."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def sha256(self) -> str: ...


class Described(Protocol):
    """A part of the service that says of itself what GET /model tells."""

    def describe(self) -> dict[str, Any]: ...


class State(Protocol):
    """What answers at this moment. A request reads `model` once, so it may be exchanged between two.

    challenger: the model that `trial` tries beside it (serving/trial.py); follower: what exchanges the model
    (serving/follower.py), None where the service goes on with the one that it was started with
    """

    @property
    def model(self) -> Model: ...
    @property
    def challenger(self) -> Model | None: ...
    @property
    def trial(self) -> Described | None: ...
    @property
    def follower(self) -> Described | None: ...


class Application:
    """The ASGI application. Not a Starlette object itself: what is asked most is answered past its layers.

    A task's application sets `page`, the folder of its page, and defines `endpoints`, `describe` and
    `document`.
    """

    page: str

    def __init__(self, state: State, settings: Serve) -> None:
        self._state = state
        self.settings = settings
        access = Access(tokens(os.environ))
        limits = rate_limits(settings.rate, access, os.environ)
        self._guards: tuple[Guard, ...] = (*limits, access, self._check_admission)
        self._bodies = request_body.Bodies(settings.requests, settings.admission)
        delay = LoopDelay().seconds
        self.predicting = BoundedThreads(PREDICTION_THREADS, "predict", settings.admission, delay)
        self.storing = BoundedThreads(STORING_THREADS, "store", settings.admission, delay)
        endpoints = [
            *self.endpoints(),
            Endpoint("/model", self._model, "GET", "predict"),
            Endpoint("/docs.json", self._document, "GET", None),
            Endpoint("/metrics", _figures, "GET", "admin"),
        ]
        self._direct = {(one.method, one.path): one for one in endpoints if "{" not in one.path}
        routes: Sequence[BaseRoute] = [
            *map(self._route, endpoints),
            # Whoever looks whether the service is well is never told to come later, or with a token.
            *(Route(path, _is_well) for path in HEALTH),
            Route("/", partial(_page, f"{self.page}/index.html")),
            Route("/docs", partial(_page, "docs.html")),
            Mount("/page", StaticFiles(directory=PAGES)),
            Mount("/static_content", StaticFiles(directory=_swagger())),
        ]
        self.starlette = Starlette(routes=routes, exception_handlers={HTTPException: _no_such_route})

    def endpoints(self) -> Sequence[Endpoint]:
        """What the task adds."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """What /model tells besides name, version and SHA-256."""
        raise NotImplementedError

    def document(self) -> dict[str, Any]:
        """The OpenAPI document."""
        raise NotImplementedError

    def check_predicting(self) -> None:
        """Raises HttpError where a prediction that was asked for now would be refused."""
        self.predicting.check()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        send = with_headers(send)
        endpoint = self._direct.get((scope.get("method", ""), scope.get("path", "")))
        if endpoint is None:
            await self.starlette(scope, receive, send)
            return
        # Past Starlette's layers, which would take longer than all else that is done here.
        response = await self._timed(endpoint, Request(scope, receive, send))
        await response(scope, receive, send)

    async def json_body(self, request: Request) -> bytes:
        """The body of a request that must be JSON; not yet parsed."""
        body = await self.body(request)
        if (media_type := request_body.media_type(request)) != "application/json":
            raise unsupported(media_type, ["application/json"])
        return body

    async def body(self, request: Request) -> bytes:
        return await request_body.read(request, self.settings.requests, self._bodies)

    def _route(self, endpoint: Endpoint) -> Route:
        return Route(endpoint.path, partial(self._timed, endpoint), methods=[endpoint.method])

    async def _timed(self, endpoint: Endpoint, request: Request) -> Response:
        start = time.perf_counter()
        response = await self._answer(endpoint, request)
        count, seconds = answers(endpoint.path, response.status_code)
        count.inc()
        seconds.observe(time.perf_counter() - start)
        return response

    async def _answer(self, endpoint: Endpoint, request: Request) -> Response:
        try:
            for guard in self._guards:
                guard(request, endpoint)
            return await endpoint.handler(request)
        except HttpError as error:
            metrics().errors.labels(error.code).inc()
            return error.response()
        except ClientDisconnect:
            return Response(status_code=400)  # nobody hears it
        except Exception:
            logger.exception("%s %s failed", request.method, request.url.path)
            metrics().errors.labels("internal").inc()
            return HttpError(
                "internal", "The service failed; its log says why. The request may be right."
            ).response()
        finally:
            self._bodies.release(request.scope)

    def _check_admission(self, _: Request, endpoint: Endpoint) -> None:
        """Refuses before the body is read what would be refused after it."""
        if endpoint.needs == "predict":
            self.check_predicting()
        elif endpoint.needs == "feedback":
            self.storing.check()

    async def _model(self, _: Request) -> Response:
        model, trial, follower = self._state.model, self._state.trial, self._state.follower
        told = {"name": model.name, "version": model.version, "sha256": model.sha256} | self.describe()
        told |= FOLLOWS_NOTHING if follower is None else follower.describe()
        return json_response(told if trial is None else told | {"trial": trial.describe()})

    async def _document(self, _: Request) -> Response:
        return json_response(self.document())


async def run(threads: ThreadPoolExecutor, work: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)


def unsupported(media_type: str, allowed: Sequence[str]) -> HttpError:
    met = f"{media_type} is not accepted" if media_type else "The request has no Content-Type"
    return HttpError("unsupported_media_type", f"{met}. Accepted: {', '.join(allowed)}.")


def json_response(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


async def _figures(_: Request) -> Response:
    """What is counted, of all workers together."""
    shown, media_type = await run_in_threadpool(exposition)
    return Response(shown, media_type=media_type)


async def _is_well(_: Request) -> Response:
    return Response("\n", media_type="text/plain")


async def _page(name: str, _: Request) -> Response:
    return FileResponse(PAGES / name, headers=PAGE_HEADERS)


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        message = f"{request.method} is not answered at {path}. Allowed: {allowed}."
        return HttpError("method_not_allowed", message, error.headers).response()
    return HttpError("not_found", f"Nothing is at {path}. /docs says what there is.").response()


def _swagger() -> Path:
    """Swagger UI as it comes with BentoML: the page /docs needs no network."""
    return Path(str(resources.files("bentoml._internal.server"))) / "static_content"
