"""Requests to an ASGI application without a server, from tests that are not asynchronous."""

import asyncio
from typing import Any

import httpx
from starlette.types import ASGIApp


class AsgiClient:
    def __init__(self, app: ASGIApp, base_url: str = "http://test") -> None:
        self.app, self.base_url = app, base_url

    def get(self, path: str, **request: Any) -> httpx.Response:
        return self._request("GET", path, **request)

    def post(self, path: str, **request: Any) -> httpx.Response:
        return self._request("POST", path, **request)

    def _request(self, method: str, path: str, **request: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url=self.base_url) as client:
                return await client.request(method, path, **request)

        return asyncio.run(send())
