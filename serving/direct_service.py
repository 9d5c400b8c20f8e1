"""A BentoML service whose mounted application is reached without BentoML's middleware.

BentoML would wrap the application in its metrics, tracing, time-out and context layers. They cost
as much as a small network's whole answer, keep a timer of 60 seconds for each request, and make a
new set of time series for every address that somebody tries. Our application has its own counters
and limits, so only BentoML's own paths go through them.
"""

from typing import Any

from _bentoml_sdk import Service
from starlette.types import ASGIApp, Receive, Scope, Send

BENTOML_PATHS = frozenset({"/livez", "/healthz", "/readyz", "/metrics", "/schema.json"})


class DirectService(Service[Any]):
    """For a TaskService, whose application is at "/"; passed as `service_class`."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        around: ASGIApp = super().to_asgi(is_main)
        inside: ASGIApp = self.inner.application()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            direct = scope["type"] == "http" and scope["path"] not in BENTOML_PATHS
            await (inside if direct else around)(scope, receive, send)

        return app
