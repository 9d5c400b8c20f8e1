"""How often one client may ask.

Each client has a bucket of `burst` requests that fills with `per_second`; a request takes one out, and who
finds it empty is answered 429 with `Retry-After`. A bucket is kept as one number, the moment at which it
will be full again (the generic cell rate algorithm, ITU-T I.371): a bucket that is full need not be kept,
and an empty one says exactly how long to wait.

A client is a token that is known, else an address; of IPv6 the network of 64 bits, which one host has to
itself. Of `clients_max` clients the one that has not asked for longest is forgotten first.
"""

import math
import socket
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.types import Scope

from pipeline.core.serve_parameters import UNLIMITED_VARIABLE, Rate
from serving.access import Access
from serving.http_errors import HttpError

if TYPE_CHECKING:
    from serving.application import Endpoint

Client = bytes | str
ADDRESS_LENGTH_MAX = 64  # a proxy may pass on anything
ROUNDING = 1e-9  # seconds; a client that waited exactly as long as it was told comes in


class RateLimit:
    """A guard: calling it refuses who asks too often. Not for several threads at once."""

    def __init__(self, rate: Rate, access: Access) -> None:
        self._access = access
        self._interval = 1 / rate.per_second
        self._tolerance = (rate.burst - 1) * self._interval
        self._clients_max = rate.clients_max
        self._full_at: OrderedDict[Client, float] = OrderedDict()
        self._per_second = rate.per_second

    def __call__(self, request: Request, endpoint: "Endpoint") -> None:
        wait = self.take(self._client(request.scope), time.monotonic())
        if wait > 0:
            seconds = math.ceil(wait)
            raise HttpError(
                "rate_limited",
                f"One client may ask {self._per_second:g} times a second. Ask again in {seconds} s.",
                {"retry-after": str(seconds)},
            )

    def take(self, client: Client, now: float) -> float:
        """Seconds until the client may ask; 0 where it may now, and this request is counted."""
        full_at = max(self._full_at.get(client, now), now)
        wait = full_at - now - self._tolerance
        if wait > ROUNDING:
            self._full_at.move_to_end(client)
            return wait
        self._full_at[client] = full_at + self._interval
        self._full_at.move_to_end(client)
        if len(self._full_at) > self._clients_max:
            self._full_at.popitem(last=False)
        return 0.0

    def _client(self, scope: Scope) -> Client:
        if not self._access.is_open and (holder := self._access.holder(scope)):
            return holder[0]
        address: str = scope["client"][0][:ADDRESS_LENGTH_MAX] if scope.get("client") else ""
        if ":" not in address or "." in address:
            return address
        try:
            return socket.inet_pton(socket.AF_INET6, address.partition("%")[0])[:8]
        except OSError:  # a proxy passed on what somebody made up
            return address


def rate_limits(rate: Rate | None, access: Access, environment: Mapping[str, str]) -> tuple[RateLimit, ...]:
    """The guard that the settings ask for; none where they do not, or the environment says that all
    requests are from one client that measures."""
    if rate is None or environment.get(UNLIMITED_VARIABLE) == "yes":
        return ()
    return (RateLimit(rate, access),)
