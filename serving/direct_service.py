"""A BentoML service whose mounted application is reached without BentoML's middleware.

BentoML would wrap the application in its metrics, tracing, time-out and context layers. They cost
as much as a small network's whole answer, keep a timer of 60 seconds for each request, and make a
new set of time series for every address that somebody tries. Our application has its own counters
and limits, so only BentoML's own paths go through them: whether it is well anybody may ask, its figures
whoever may by the application's guards.
"""

from typing import TYPE_CHECKING, Any

from _bentoml_sdk import Service
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from pipeline.core.serve_parameters import Permission
    from serving.application import Application

# What BentoML answers, and what a client must be allowed for it.
BENTOML_PATHS: dict[str, "Permission | None"] = {
    "/livez": None,
    "/healthz": None,
    "/readyz": None,
    "/metrics": "admin",
    "/schema.json": "predict",
}


class DirectService(Service[Any]):
    """For a TaskService, whose application is at "/"; passed as `service_class`."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        from serving.response_headers import with_headers

        around: ASGIApp = super().to_asgi(is_main)
        inside: Application = self.inner.application()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await around(scope, receive, send)
                return
            path = scope["path"]
            if path not in BENTOML_PATHS:
                await inside(scope, receive, send)
                return
            # Whoever looks whether the service is well is never told to come later, or with a token.
            needs = BENTOML_PATHS[path]
            refused = inside.refusal(Request(scope), needs) if needs else None
            await (refused or around)(scope, receive, with_headers(send))

        return app
