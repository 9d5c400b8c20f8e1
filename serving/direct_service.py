"""A BentoML service whose mounted application is reached without BentoML's middleware.

BentoML wraps a mounted application in its metrics, tracing, time-out and context layers. They cost
as much as a small network's whole answer, keep a timer of 60 seconds for each request, and make a
new set of time series for every address that somebody tries. Our application has its own counters
and limits, so only BentoML's own paths go through them: whether it is well anybody may ask, its figures
whoever may by the application's guards.
"""

from typing import Any

from _bentoml_sdk import Service
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.application import Application, Endpoint
from serving.response_headers import with_headers


async def _bentoml_answers(_: Request) -> Response:
    raise AssertionError("BentoML answers this, where the application's guards let it")


BENTOML_PATHS = {
    endpoint.path: endpoint
    for endpoint in (
        Endpoint("/livez", _bentoml_answers, "GET", None),
        Endpoint("/healthz", _bentoml_answers, "GET", None),
        Endpoint("/readyz", _bentoml_answers, "GET", None),
        Endpoint("/metrics", _bentoml_answers, "GET", "admin"),
        Endpoint("/schema.json", _bentoml_answers, "GET", "predict"),
    )
}


class DirectService(Service[Any]):
    """For a service with one application mounted at "/"; passed as `service_class`."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        around: ASGIApp = super().to_asgi(is_main)
        inside = self.mount_apps[0][0]
        assert isinstance(inside, Application)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await around(scope, receive, send)
            elif (bentomls := BENTOML_PATHS.get(scope["path"])) is None:
                await inside(scope, receive, send)
            else:
                # Whoever looks after the service is never told to come later, or with a token.
                refused = inside.refusal(Request(scope), bentomls) if bentomls.needs else None
                await (refused or around)(scope, receive, with_headers(send))

        return app
