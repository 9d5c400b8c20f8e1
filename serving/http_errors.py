"""What a service answers when it does not answer: `{"error": {"code", "message"}}`."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

# The code is for programs and stays; the message is for people and may change.
COMMON = {
    "bad_json": 400,
    "missing_field": 400,
    "not_finite": 400,
    "out_of_range": 400,
    "unknown_field": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "unknown_prediction": 404,
    "method_not_allowed": 405,
    "body_too_slow": 408,
    "batch_too_large": 413,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "rate_limited": 429,
    "internal": 500,
    "log_unavailable": 503,
    "overloaded": 503,
}
IMAGES = {
    "bad_multipart": 400,
    "image_undecodable": 400,
    "unknown_label": 400,
    "url_not_accepted": 400,
    "wrong_shape": 400,
    "conflicting_feedback": 409,
    "image_too_many_pixels": 413,
}
RECOMMENDATION = {
    "bad_time": 400,
    "not_recommended": 400,
    "too_long": 400,
    "unknown_event": 400,
    "unknown_mode": 400,
    "wrong_type": 400,
}
STATUS = COMMON | IMAGES | RECOMMENDATION


VALUE_SHOWN = 40  # characters of a refused value: an answer is no echo


def shown(value: Any) -> str:
    try:
        text = repr(value)
    except RecursionError:  # JSON may be nested deeper than Python can tell
        text = f"a {type(value).__name__} nested too deep"
    return text if len(text) <= VALUE_SHOWN else text[:VALUE_SHOWN] + "..."


class HttpError(Exception):
    """code: a key of STATUS; message: what is wrong and what would be right."""

    def __init__(self, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.headers = code, message, headers

    @property
    def status(self) -> int:
        return STATUS[self.code]

    def within(self, place: str) -> "HttpError":
        """The same error, said of a part of the request, for instance `items[3]`."""
        return HttpError(self.code, f"{place}: {self.message}", self.headers)

    def response(self) -> Response:
        body = orjson.dumps({"error": {"code": self.code, "message": self.message}})
        return Response(body, self.status, self.headers, "application/json")
