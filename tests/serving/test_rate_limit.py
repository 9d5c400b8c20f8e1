"""A client that asks too often is told when to come again, and is let in then."""

from typing import Any

import pytest

from pipeline.core.serve_parameters import Rate
from serving import rate_limit
from serving.access import Access
from serving.image_application import ImageApplication, ImageState
from serving.rate_limit import RateLimit, rate_limits
from tests.serving.answers import refused
from tests.serving.asgi_client import AsgiClient
from tests.serving.synthetic import SETTINGS

OPEN = Access({})
TOKEN, OTHER = "a" * 32, "b" * 32


def limit(per_second: float, burst: int, clients_max: int = 100, access: Access = OPEN) -> RateLimit:
    return RateLimit(Rate(per_second=per_second, burst=burst, clients_max=clients_max), access)


def test_a_burst_is_answered_then_as_many_as_the_bucket_fills() -> None:
    guard = limit(per_second=2, burst=5)
    assert [guard.take("a", 0.0) > 0 for _ in range(7)] == [False] * 5 + [True] * 2
    assert guard.take("a", 0.25) == pytest.approx(0.25)
    assert guard.take("a", 0.5) == 0
    assert guard.take("a", 0.5) > 0
    assert [guard.take("a", 100.0) > 0 for _ in range(7)] == [False] * 5 + [True] * 2


@pytest.mark.parametrize("per_second", [0.1, 0.3, 1, 3, 7, 1000 / 3])
def test_who_waits_as_long_as_told_is_let_in(per_second: float) -> None:
    guard, now = limit(per_second, burst=3), 12345.678
    for _ in range(200):
        wait = guard.take("a", now)
        if wait:
            assert guard.take("a", now + wait * 0.99) > 0
            assert guard.take("a", now + wait) == 0
            now += wait


def test_over_time_nobody_gets_more_than_the_rate() -> None:
    guard = limit(per_second=10, burst=4)
    let_in = sum(guard.take("a", i / 1000) == 0 for i in range(10_000))
    assert let_in == 4 + 99


def test_clients_do_not_pay_for_each_other() -> None:
    guard = limit(per_second=1, burst=1)
    assert [guard.take(client, 0.0) for client in "abc"] == [0, 0, 0]


def test_memory_is_bounded_and_the_busy_are_remembered() -> None:
    guard = limit(per_second=0.001, burst=1, clients_max=50)
    guard.take("busy", 0.0)
    for i in range(10_000):
        guard.take(f"client {i}", float(i) / 1e6)
        if i % 40 == 0:
            assert guard.take("busy", float(i) / 1e6) > 0
    assert len(guard._full_at) == 50


def scope(address: str, token: str | None = None) -> dict[str, Any]:
    headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
    return {"type": "http", "headers": headers, "client": (address, 1234)}


def test_a_client_is_a_known_token_else_an_address() -> None:
    guard = limit(1, 1, access=Access({"predict": frozenset({TOKEN, OTHER})}))
    same = guard._client(scope("10.0.0.1", TOKEN))
    assert same == guard._client(scope("10.0.0.2", TOKEN))
    assert same != guard._client(scope("10.0.0.1", OTHER))
    for made_up in ("x" * 32, "y" * 32, None):
        assert guard._client(scope("10.0.0.1", made_up)) == "10.0.0.1", "guessing tokens is limited, too"
    assert limit(1, 1)._client(scope("10.0.0.1", TOKEN)) == "10.0.0.1"


def test_addresses_that_one_host_has_to_itself_are_one_client() -> None:
    client = limit(1, 1)._client
    assert client(scope("2001:db8:1:2::1")) == client(scope("2001:db8:1:2:aaaa:bbbb:cccc:dddd"))
    assert client(scope("2001:db8:1:2::1")) != client(scope("2001:db8:1:3::1"))
    assert client(scope("::ffff:10.0.0.1")) != client(scope("::ffff:10.0.0.2"))
    assert client(scope("fe80::1%eth0")) == client(scope("fe80::2%eth0"))
    assert len(client(scope("not:an:address" * 1000))) == rate_limit.ADDRESS_LENGTH_MAX
    assert client({"type": "http", "headers": [], "client": None}) == ""


def test_no_setting_no_limit_and_none_where_somebody_measures() -> None:
    rate = Rate(per_second=1, burst=1, clients_max=1)
    assert rate_limits(None, OPEN, {}) == ()
    assert rate_limits(rate, OPEN, {"FULLCYCLE_WITHOUT_RATE_LIMIT": "yes"}) == ()
    assert len(rate_limits(rate, OPEN, {})) == 1


@pytest.fixture
def hurried(state: ImageState) -> AsgiClient:
    rate = Rate(per_second=0.2, burst=2, clients_max=10)
    return AsgiClient(ImageApplication(state, SETTINGS.model_copy(update={"rate": rate})))


def test_too_many_requests_are_told_when_to_come_again(
    hurried: AsgiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(rate_limit.time, "monotonic", lambda: now[0])
    assert [hurried.get("/model").status_code for _ in range(3)] == [200, 200, 429]
    now[0] += 0.5
    response = hurried.get("/model")
    assert "Ask again in 5 s" in refused(response, "rate_limited")
    assert response.headers["retry-after"] == "5"
    now[0] += int(response.headers["retry-after"])
    assert hurried.get("/model").status_code == 200
    assert hurried.get("/model").status_code == 429
    assert hurried.get("/").status_code == 200, "the page itself is no question"
