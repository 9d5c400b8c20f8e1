"""The HTTP side of an image service: pictures in, classes out."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from pipeline.core.serve_parameters import Serve
from serving import image_openapi, request_body
from serving.application import (
    Application,
    Endpoint,
    json_response,
    run,
    unsupported,
)
from serving.http_errors import HttpError
from serving.image_input import FORMATS, Decoder, refuse_url
from serving.image_log import ImageLog, ImagePrediction
from serving.image_metrics import image_metrics
from serving.image_model import ImageModel
from serving.prediction_log import new_id
from serving.request_body import Part
from serving.trial import Asked, Trial, client_key


class ImageState:
    model: ImageModel
    challenger: ImageModel | None = None
    log: ImageLog
    trial: Trial[ImageModel, np.ndarray, np.ndarray] | None = None


ImageAsked = Asked[ImageModel, np.ndarray, np.ndarray]


class ImageApplication(Application):
    page = "image_classification"

    def __init__(self, state: ImageState, settings: Serve) -> None:
        self.state = state
        super().__init__(state, settings)

    def endpoints(self) -> Sequence[Endpoint]:
        return [
            Endpoint("/predict", self.predict, "POST", "predict"),
            Endpoint("/predict_batch", self.predict_batch, "POST", "predict"),
            Endpoint("/feedback", self.feedback, "POST", "feedback"),
        ]

    def describe(self) -> dict[str, Any]:
        model = self.state.model
        image = dict(zip(("channels", "height", "width"), model.image, strict=True))
        return {"classes": model.classes, "image": image}

    def document(self) -> dict[str, Any]:
        return image_openapi.document(self.state.model)

    async def predict(self, request: Request) -> Response:
        model = self.state.model
        body = await self.body(request)
        media_type = request_body.media_type(request)
        form = await request_body.multipart(request, body) if media_type == "multipart/form-data" else None
        asked = self._asked(model, request)
        return await run(self.predicting, self._predict, model, body, media_type, form, asked)

    def _predict(
        self, model: ImageModel, body: bytes, media_type: str, form: Any, asked: ImageAsked | None
    ) -> Response:
        decoder = Decoder(model.image)
        if form is not None:
            image = _from_form(decoder, form)
        elif media_type in FORMATS:
            image = decoder.picture(body, media_type)
        elif media_type == "application/json":
            image = _from_json(decoder, body)
        else:
            raise unsupported(media_type, [*FORMATS, "multipart/form-data", "application/json"])
        return json_response(self._answers(model, image[np.newaxis], asked)[0])

    async def predict_batch(self, request: Request) -> Response:
        model = self.state.model
        body = await self.json_body(request)
        asked = self._asked(model, request)
        return await run(self.predicting, self._predict_batch, model, body, asked)

    def _predict_batch(self, model: ImageModel, body: bytes, asked: ImageAsked | None) -> Response:
        given = request_body.json_object(body)
        request_body.check_fields(given, ["items"])
        images = Decoder(model.image).batch(given["items"])
        return json_response({"predictions": self._answers(model, images, asked)})

    def _asked(self, model: ImageModel, request: Request) -> ImageAsked | None:
        """The part that the request has in a trial."""
        trial = self.state.trial
        return None if trial is None else trial.asked(model, client_key(request))

    def _answers(
        self, model: ImageModel, images: np.ndarray, asked: ImageAsked | None
    ) -> list[dict[str, Any]]:
        if asked is None:
            probabilities = model.probabilities(images)
        else:
            model, probabilities, asked = asked.answer(images)
        now = datetime.now(UTC)
        name = {"name": model.name, "version": model.version}
        answers = []
        for image, row, best in zip(images, probabilities, probabilities.argmax(axis=1), strict=True):
            prediction = ImagePrediction(new_id(now), now, model.version, model.classes, row, image)
            self.state.log.add(prediction)
            label = model.classes[best]
            image_metrics().predictions.labels(model.version, label).inc()
            shares = dict(zip(model.classes, row.tolist(), strict=True))
            answers.append(
                {"prediction_id": prediction.id, "label": label, "probabilities": shares, "model": name}
            )
        if asked is not None:
            asked.shown(images, [answer["prediction_id"] for answer in answers], now)
        return answers

    async def feedback(self, request: Request) -> Response:
        given = request_body.json_object(await self.json_body(request))
        request_body.check_fields(given, ["prediction_id", "label"])
        label, prediction_id = given["label"], given["prediction_id"]
        classes = self.state.model.classes
        if label not in classes:
            raise HttpError("unknown_label", f"{label!r} is not a class. Classes: {', '.join(classes)}.")
        if not isinstance(prediction_id, str):
            raise HttpError("unknown_prediction", "prediction_id must be a string that /predict gave.")
        predicted, new = await run(self.storing, self.state.log.record_feedback, prediction_id, label)
        if new:
            image_metrics().feedback.labels(str(predicted == label).lower()).inc()
        return json_response({"prediction_id": prediction_id, "label": label, "agrees": predicted == label})


def _from_form(decoder: Decoder, form: dict[str, Part | str]) -> np.ndarray:
    for value in form.values():
        refuse_url(value)
    request_body.check_fields(form, ["image"])
    part = form["image"]
    if isinstance(part, str):
        raise HttpError("missing_field", "The field image must be a file.")
    if part.media_type not in ("", "application/octet-stream", *FORMATS):
        raise unsupported(part.media_type, list(FORMATS))
    return decoder.picture(part.data, part.media_type)


def _from_json(decoder: Decoder, body: bytes) -> np.ndarray:
    given = request_body.json_object(body)
    for value in given.values():
        refuse_url(value)
    request_body.check_fields(given, ["pixels"])
    return decoder.pixels(given["pixels"])
