"""How fast a service answers when several clients ask at once."""

import asyncio
import itertools
import time
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


async def _all_clients(url: str, requests: list[bytes], end: float, connections: int) -> list[float]:
    """Seconds that each answer took."""
    latencies: list[float] = []
    starts = [len(requests) * i // connections for i in range(connections)]
    try:
        await asyncio.gather(*(_client(url, requests, start, end, latencies) for start in starts))
    except (OSError, EOFError, TimeoutError) as error:
        raise ServiceError(f"{url} failed under load: {error!r}.") from error
    return latencies


async def _client(url: str, requests: list[bytes], start: int, end: float, latencies: list[float]) -> None:
    """Bare sockets: the cost of an HTTP library would count as the service's latency."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        for i in itertools.count(start):
            began = time.perf_counter()
            if began >= end:
                return
            writer.write(requests[i % len(requests)])
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), TIMEOUT)
            body = await asyncio.wait_for(reader.readexactly(_length(head)), TIMEOUT)
            latencies.append(time.perf_counter() - began)
            if not head.startswith(b"HTTP/1.1 200 "):
                raise ServiceError(f"Under load {url} answered {head.splitlines()[0]!r}: {body[:500]!r}.")
    finally:
        writer.close()
        await writer.wait_closed()


def _length(head: bytes) -> int:
    fields = (line.partition(b":") for line in head.lower().split(b"\r\n"))
    return next(int(value) for name, _, value in fields if name == b"content-length")
