"""A BentoML service whose mounted application is reached without BentoML's middleware.

BentoML wraps a mounted application in its metrics, tracing, time-out and context layers. They cost
as much as a small network's whole answer, keep a timer of 60 seconds for each request, and make a
new set of time series for every address that somebody tries. Our application has its own counters
and limits, so only BentoML's own paths go through them: whether it is well anybody may ask, its figures
whoever may by the application's guards.
"""

from typing import TYPE_CHECKING, Any

from _bentoml_sdk import Service
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from pipeline.core.serve_parameters import Permission

BENTOML_PATHS: dict[str, "Permission | None"] = {
    "/livez": None,
    "/healthz": None,
    "/readyz": None,
    "/metrics": "admin",
    "/schema.json": "predict",
}


class DirectService(Service[Any]):
    """For a service with one application mounted at "/"; passed as `service_class`."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        from serving.application import Application, Endpoint
        from serving.response_headers import with_headers

        around: ASGIApp = super().to_asgi(is_main)
        inside = self.mount_apps[0][0]
        assert isinstance(inside, Application)
        # Whoever looks whether the service is well is never told to come later, or with a token.
        guarded = {
            path: Endpoint(path, _bentoml_answers, "GET", needs)
            for path, needs in BENTOML_PATHS.items()
            if needs is not None
        }

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await around(scope, receive, send)
                return
            path = scope["path"]
            if path not in BENTOML_PATHS:
                await inside(scope, receive, send)
                return
            refused = inside.refusal(Request(scope), guarded[path]) if path in guarded else None
            await (refused or around)(scope, receive, with_headers(send))

        return app


async def _bentoml_answers(_: Request) -> Response:
    raise AssertionError("BentoML answers this, where the application's guards let it")
