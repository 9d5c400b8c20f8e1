"""Asking a recommendation service, and reading its answers."""

from typing import Any

from serving.http_errors import STATUS
from tests.serving.asgi_client import AsgiClient


def recommended(shop: AsgiClient, **ask: Any) -> dict[str, Any]:
    response = shop.post("/recommend", json=ask)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def products(answer: dict[str, Any]) -> list[int]:
    return [item["product_id"] for item in answer["items"]]


def refused(response: Any, code: str) -> str:
    """Asserts the shape of a refusal; returns its message."""
    assert response.headers["content-type"] == "application/json"
    error = response.json()
    assert error.keys() == {"error"}
    assert error["error"].keys() == {"code", "message"}
    assert error["error"]["code"] == code, error
    assert response.status_code == STATUS[code]
    message = error["error"]["message"]
    assert message
    assert "Traceback" not in message
    assert len(message) < 400
    return str(message)
