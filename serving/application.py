"""The HTTP side of an image service: a Starlette application that BentoML mounts at "/".

BentoML's own request handling answers 500 to a damaged picture and 200 to NaN, has no limit on
bodies and fetches addresses: it is left out of the way, apart from /livez, /readyz and /metrics.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from serving import openapi, request_body
from serving.http_errors import HttpError
from serving.image_input import FORMATS, Decoder
from serving.metrics import metrics
from serving.onnx_model import OnnxModel
from serving.prediction_log import Prediction, PredictionLog, new_id
from serving.request_body import Part

logger = logging.getLogger(__name__)

BODY_MAX = 8 << 20  # bytes
PREDICTION_THREADS = 8  # large pictures and long batches may keep some busy, small ones pass by
FEEDBACK_THREADS = 8  # a log that hangs may hold these, and none of those that predict
PAGE = Path(__file__).parent / "page"
PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


class State:
    """What answers at this moment. A request reads `model` once, so it may be exchanged between two."""

    model: OnnxModel
    log: PredictionLog


class Application:
    """The ASGI application. Not a Starlette object itself: BentoML would then hide from it the
    paths and methods that it does not serve, and answer them with a page that is not JSON."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.predicting = ThreadPoolExecutor(PREDICTION_THREADS, "predict")
        self.storing = ThreadPoolExecutor(FEEDBACK_THREADS, "feedback")
        routes: Sequence[BaseRoute] = [
            self._route("/predict", self.predict, "POST"),
            self._route("/predict_batch", self.predict_batch, "POST"),
            self._route("/feedback", self.feedback, "POST"),
            self._route("/model", self.model, "GET"),
            self._route("/docs.json", self.openapi, "GET"),
            Route("/", partial(_page, "index.html")),
            Route("/docs", partial(_page, "docs.html")),
            Mount("/page", StaticFiles(directory=PAGE)),
            Mount("/static_content", StaticFiles(directory=_swagger())),
        ]
        self.starlette = Starlette(routes=routes, exception_handlers={HTTPException: _no_such_route})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.starlette(scope, receive, send)

    def _route(self, path: str, handler: Handler, method: str) -> Route:
        async def endpoint(request: Request) -> Response:
            start = time.perf_counter()
            response = await _answer(handler, request)
            counters = metrics()
            counters.requests.labels(path, response.status_code).inc()
            counters.seconds.labels(path).observe(time.perf_counter() - start)
            return response

        return Route(path, endpoint, methods=[method])

    async def predict(self, request: Request) -> Response:
        model = self.state.model
        body = await request_body.read(request, BODY_MAX)
        media_type = request_body.media_type(request)
        form = await request_body.multipart(request, body) if media_type == "multipart/form-data" else None
        return await _run(self.predicting, self._predict, model, body, media_type, form)

    def _predict(self, model: OnnxModel, body: bytes, media_type: str, form: Any) -> Response:
        decoder = Decoder(model.image)
        if form is not None:
            image = _from_form(decoder, form)
        elif media_type in FORMATS:
            image = decoder.picture(body, media_type)
        elif media_type == "application/json":
            image = _from_json(decoder, body)
        else:
            raise _unsupported(media_type, [*FORMATS, "multipart/form-data", "application/json"])
        return _json(self._answers(model, image[np.newaxis])[0])

    async def predict_batch(self, request: Request) -> Response:
        model = self.state.model
        body = await request_body.read(request, BODY_MAX)
        if (media_type := request_body.media_type(request)) != "application/json":
            raise _unsupported(media_type, ["application/json"])
        return await _run(self.predicting, self._predict_batch, model, body)

    def _predict_batch(self, model: OnnxModel, body: bytes) -> Response:
        given = request_body.json_object(body)
        request_body.check_fields(given, ["items"])
        images = Decoder(model.image).batch(given["items"])
        return _json({"predictions": self._answers(model, images)})

    def _answers(self, model: OnnxModel, images: np.ndarray) -> list[dict[str, Any]]:
        probabilities = model.probabilities(images)
        now = datetime.now(UTC)
        name = {"name": model.name, "version": model.version}
        answers = []
        for image, row, best in zip(images, probabilities, probabilities.argmax(axis=1), strict=True):
            prediction = Prediction(new_id(now), now, model.version, model.classes, row, image)
            self.state.log.add(prediction)
            label = model.classes[best]
            metrics().labels.labels(model.version, label).inc()
            shares = dict(zip(model.classes, row.tolist(), strict=True))
            answers.append(
                {"prediction_id": prediction.id, "label": label, "probabilities": shares, "model": name}
            )
        return answers

    async def feedback(self, request: Request) -> Response:
        body = await request_body.read(request, BODY_MAX)
        if (media_type := request_body.media_type(request)) != "application/json":
            raise _unsupported(media_type, ["application/json"])
        given = request_body.json_object(body)
        request_body.check_fields(given, ["prediction_id", "label"])
        label, prediction_id = given["label"], given["prediction_id"]
        classes = self.state.model.classes
        if label not in classes:
            raise HttpError("unknown_label", f"{label!r} is not a class. Classes: {', '.join(classes)}.")
        if not isinstance(prediction_id, str):
            raise HttpError("unknown_prediction", "prediction_id must be a string that /predict gave.")
        predicted, new = await _run(self.storing, self.state.log.record_feedback, prediction_id, label)
        if new:
            metrics().feedback.labels(str(predicted == label).lower()).inc()
        return _json({"prediction_id": prediction_id, "label": label, "agrees": predicted == label})

    async def model(self, _: Request) -> Response:
        model = self.state.model
        image = dict(zip(("channels", "height", "width"), model.image, strict=True))
        return _json(
            {
                "name": model.name,
                "version": model.version,
                "sha256": model.sha256,
                "classes": model.classes,
                "image": image,
            }
        )

    async def openapi(self, _: Request) -> Response:
        return _json(openapi.document(self.state.model))


async def _run(threads: ThreadPoolExecutor, work: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)


async def _answer(handler: Handler, request: Request) -> Response:
    try:
        return await handler(request)
    except HttpError as error:
        metrics().errors.labels(error.code).inc()
        return error.response()
    except ClientDisconnect:
        return Response(status_code=400)  # nobody hears it
    except Exception:
        logger.exception("%s %s failed", request.method, request.url.path)
        metrics().errors.labels("internal").inc()
        return HttpError(
            "internal", "The service failed; its log says why. The request may be right."
        ).response()


def _from_form(decoder: Decoder, form: dict[str, Part | str]) -> np.ndarray:
    for value in form.values():
        request_body.refuse_url(value)
    request_body.check_fields(form, ["image"])
    part = form["image"]
    if isinstance(part, str):
        raise HttpError("missing_field", "The field image must be a file.")
    if part.media_type not in ("", "application/octet-stream", *FORMATS):
        raise _unsupported(part.media_type, list(FORMATS))
    return decoder.picture(part.data, part.media_type)


def _from_json(decoder: Decoder, body: bytes) -> np.ndarray:
    given = request_body.json_object(body)
    for value in given.values():
        request_body.refuse_url(value)
    request_body.check_fields(given, ["pixels"])
    return decoder.pixels(given["pixels"])


def _unsupported(media_type: str, allowed: Sequence[str]) -> HttpError:
    met = media_type or "no content type"
    return HttpError("unsupported_media_type", f"{met} is not accepted. Accepted: {', '.join(allowed)}.")


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


async def _page(name: str, _: Request) -> Response:
    return FileResponse(PAGE / name, headers=PAGE_HEADERS)


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        message = f"{request.method} is not answered at {path}. Allowed: {allowed}."
        return HttpError("method_not_allowed", message, error.headers).response()
    return HttpError("not_found", f"Nothing is at {path}. /docs says what there is.").response()


def _swagger() -> Path:
    """Swagger UI as it comes with BentoML: the page /docs needs no network."""
    return Path(str(resources.files("bentoml._internal.server"))) / "static_content"
