"""Requests to an ASGI application without a server, from tests that are not asynchronous."""

import asyncio
from typing import Any

import httpx
from starlette.types import ASGIApp


class AsgiClient:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def get(self, path: str, **request: Any) -> httpx.Response:
        return self._request("GET", path, **request)

    def post(self, path: str, **request: Any) -> httpx.Response:
        return self._request("POST", path, **request)

    def _request(self, method: str, path: str, **request: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **request)

        return asyncio.run(send())
