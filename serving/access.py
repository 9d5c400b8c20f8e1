"""Who may ask: bearer tokens, each good for what it was given for.

    FULLCYCLE_TOKEN_PREDICT     answers, and what the model knows
    FULLCYCLE_TOKEN_FEEDBACK    feedback and events
    FULLCYCLE_TOKEN_ADMIN       figures of the process (/metrics)

A variable may hold several tokens, separated by commas, so that one can be replaced while both are good;
a token that stands in two variables may do both. Where none of the variables is set nobody is asked for a
token, and the service listens on this machine alone unless FULLCYCLE_WITHOUT_TOKENS=yes.

A token comes as RFC 6750 has it: `Authorization: Bearer TOKEN`.
"""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.types import Scope

from pipeline.core.errors import ParameterError, ServiceError
from pipeline.core.serve_parameters import OPEN_VARIABLE, TOKEN_VARIABLES, Permission
from serving.http_errors import HttpError

if TYPE_CHECKING:
    from serving.application import Endpoint

TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,}")  # what RFC 6750 allows, and long enough not to be guessed
SCHEME = b"bearer "
HOLDER = "fullcycle.holder"  # where a request keeps what was found

Holder = tuple[bytes, frozenset[Permission]]  # digest of a token, and what it may


class Access:
    """Which tokens there are. A guard: calling it refuses who may not ask.

    tokens: of each permission
    """

    def __init__(self, tokens: Mapping[Permission, frozenset[str]]) -> None:
        holders: dict[bytes, set[Permission]] = {}
        for permission, given in tokens.items():
            for token in given:
                holders.setdefault(_digest(token.encode()), set()).add(permission)
        self._holders = tuple((digest, frozenset(may)) for digest, may in holders.items())

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked for a token."""
        return not self._holders

    def holder(self, scope: Scope) -> Holder | None:
        """Whose token came with a request, None without one that is known; found once for each request."""
        if HOLDER not in scope:
            scope[HOLDER] = self._find_holder(scope)
        found: Holder | None = scope[HOLDER]
        return found

    def _find_holder(self, scope: Scope) -> Holder | None:
        """Every known token is compared, each in constant time: how long it takes tells nothing of them."""
        given = _token(scope)
        if given is None:
            return None
        digest, found = _digest(given), None
        for known, may in self._holders:
            if hmac.compare_digest(digest, known):
                found = may
        return None if found is None else (digest, found)

    def __call__(self, request: Request, endpoint: "Endpoint") -> None:
        if endpoint.needs is None or self.is_open:
            return
        holder = self.holder(request.scope)
        if holder is None:
            wrong = _token(request.scope) is not None
            raise HttpError(
                "unauthorized",
                "The token is not known." if wrong else "A token is needed: Authorization: Bearer TOKEN.",
                {"www-authenticate": 'Bearer error="invalid_token"' if wrong else "Bearer"},
            )
        if endpoint.needs not in holder[1]:
            raise HttpError(
                "forbidden",
                f"This token may not do that; it takes one for {endpoint.needs!r}.",
                {"www-authenticate": f'Bearer error="insufficient_scope", scope="{endpoint.needs}"'},
            )


def tokens(environment: Mapping[str, str]) -> dict[Permission, frozenset[str]]:
    """The tokens that the environment names. ParameterError: one is too short, or cannot be sent."""
    found: dict[Permission, frozenset[str]] = {}
    for permission, variable in TOKEN_VARIABLES.items():
        given = {token.strip() for token in environment.get(variable, "").split(",")} - {""}
        if not all(TOKEN.fullmatch(token) for token in given):
            raise ParameterError(
                f"{variable}: a token has at least 16 of the characters A-Z a-z 0-9 . _ ~ + / = -; several "
                "are separated by commas. `openssl rand -hex 32` makes a good one."
            )
        found[permission] = frozenset(given)
    return found


def refuse_open_door(host: str, environment: Mapping[str, str]) -> None:
    """ServiceError: on this address others would reach a service that asks for no token, or it is none.

    host: the IP address to listen on
    """
    if any(tokens(environment).values()) or environment.get(OPEN_VARIABLE) == "yes":
        return
    try:
        if ipaddress.ip_address(host).is_loopback:
            return
    except ValueError:
        raise ServiceError(
            f"--host {host}: not an IP address such as 127.0.0.1, this machine alone."
        ) from None
    raise ServiceError(
        f"On {host} this service would answer everybody who reaches it: no token is set. Set "
        f"{TOKEN_VARIABLES['predict']} and {TOKEN_VARIABLES['feedback']} (`openssl rand -hex 32` makes one), "
        f"listen on 127.0.0.1, or set {OPEN_VARIABLE}=yes where something in front of it asks who comes."
    )


def _token(scope: Scope) -> bytes | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            is_bearer = value[: len(SCHEME)].lower() == SCHEME
            return bytes(value[len(SCHEME) :]).strip() if is_bearer else None
    return None


def _digest(token: bytes) -> bytes:
    """So that tokens of any length compare in the same time."""
    return hashlib.sha256(token).digest()
