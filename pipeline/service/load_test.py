"""What a service answers, and how fast, when several clients ask at once."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

import numpy as np

from pipeline.core.errors import ServiceError

TIMEOUT = 30.0  # seconds for one answer


def post_request(path: str, media_type: str, body: bytes) -> bytes:
    """An HTTP request as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: load\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def load_test(url: str, requests: list[bytes], *, seconds: float, connections: int) -> dict[str, float]:
    """Each connection sends the requests in turn, waiting for each answer, until the time is over.

    Returns requests_per_second, latency_p50_ms and latency_p99_ms, as the clients see them.
    ServiceError when an answer is not 200, or none comes.
    """
    began = time.perf_counter()
    latencies = asyncio.run(_all_clients(url, requests, began + seconds, connections))
    took = time.perf_counter() - began
    if not latencies:
        raise ServiceError(f"{url} answered nothing within {seconds} s of load.")
    p50, p99 = np.quantile(latencies, [0.5, 0.99]) * 1000
    return {
        "requests_per_second": len(latencies) / took,
        "latency_p50_ms": float(p50),
        "latency_p99_ms": float(p99),
    }


def ask(url: str, requests: list[bytes], *, connections: int) -> list[bytes]:
    """Bodies of the answers, in the order of the requests; each is sent once, over one of the connections.

    ServiceError when an answer is not 200, or none comes.
    """
    bodies = [b""] * len(requests)
    waiting = iter(enumerate(requests))

    async def client(connection: _Connection) -> None:
        for place, request in waiting:
            bodies[place] = await connection.answer(request)

    asyncio.run(_with_connections(url, [client] * connections))
    return bodies


async def _all_clients(url: str, requests: list[bytes], end: float, connections: int) -> list[float]:
    """Seconds that each answer took."""
    latencies: list[float] = []

    def client(start: int) -> _Client:
        async def send(connection: _Connection) -> None:
            for i in itertools.count(start):
                began = time.perf_counter()
                if began >= end:
                    return
                await connection.answer(requests[i % len(requests)])
                latencies.append(time.perf_counter() - began)

        return send

    await _with_connections(url, [client(len(requests) * i // connections) for i in range(connections)])
    return latencies


class _Connection:
    """A bare socket: the cost of an HTTP library would count as the service's latency."""

    def __init__(self, url: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._url, self._reader, self._writer = url, reader, writer

    async def answer(self, request: bytes) -> bytes:
        """The body of the answer, which must be 200."""
        self._writer.write(request)
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), TIMEOUT)
        body = await asyncio.wait_for(self._reader.readexactly(_length(head)), TIMEOUT)
        if not head.startswith(b"HTTP/1.1 200 "):
            asked, answered = request.split(b" HTTP", 1)[0].decode(), head.splitlines()[0]
            raise ServiceError(f"{asked} of {self._url} was answered {answered!r}: {body[:500]!r}.")
        return body


_Client = Callable[[_Connection], Awaitable[None]]


async def _with_connections(url: str, clients: Sequence[_Client]) -> None:
    """Runs the clients at once, each with a connection of its own."""
    address = urlsplit(url)

    async def run(client: _Client) -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            await client(_Connection(url, reader, writer))
        finally:
            writer.close()
            await writer.wait_closed()

    try:
        await asyncio.gather(*map(run, clients))
    except (OSError, EOFError, TimeoutError) as error:
        raise ServiceError(f"{url} failed when it was asked: {error!r}.") from error


def _length(head: bytes) -> int:
    fields = (line.partition(b":") for line in head.lower().split(b"\r\n"))
    return next(int(value) for name, _, value in fields if name == b"content-length")
