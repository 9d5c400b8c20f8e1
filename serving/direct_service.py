"""A BentoML service whose application answers by itself, without BentoML's server around it.

BentoML would wrap the application in its metrics, tracing, time-out and context layers. They cost
as much as a small network's whole answer, keep a timer of 60 seconds for each request, make a
new set of time series for every address that somebody tries, and take as long to import as the service
takes to load its model.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from _bentoml_sdk import Service
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from serving.application import Application

logger = logging.getLogger("bentoml.serve")  # where BentoML's own server says so


class DirectService(Service[Any]):
    """For a TaskService; passed as `service_class`."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        application: Application = self.inner.application()
        life = Starlette(lifespan=self._lifespan)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await (application if scope["type"] == "http" else life)(scope, receive, send)

        return app

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """The server answers nobody before the model is loaded, and ends when the log is written."""
        service = self()
        logger.info("Service %s initialized", self.name)
        yield
        service.close()
