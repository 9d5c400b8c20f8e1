"""The HTTP side of an image service: pictures in, classes out."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from pipeline.core.errors import ModelError
from pipeline.core.serve_parameters import Serve
from serving import image_openapi, request_body
from serving.application import (
    Application,
    Endpoint,
    json_response,
    run,
    unsupported,
)
from serving.decoding_room import DecodingRoom
from serving.follower import Follower
from serving.http_errors import HttpError, shown
from serving.image_input import FORMATS, Decoder, Limits, TakesLong, refuse_url
from serving.image_log import ImageLog, ImagePrediction
from serving.image_metrics import image_metrics
from serving.image_model import ImageModel, cores
from serving.micro_batching import MicroBatcher
from serving.prediction_log import new_ids
from serving.request_body import Part
from serving.trial import CANARY_THREADS, Asked, Trial, client_key

# A picture up to here takes less time than to have a thread look at it: it is read on the event loop.
BYTES_AT_ONCE = 1 << 16  # of a body
PIXELS_AT_ONCE = 1 << 14  # of a picture that must be decoded
# Pictures of one run. More would hardly be faster, and with all in one run nobody's answer is written, and
# nobody's next request read, while the network computes. One core is left to the event loop.
TOGETHER = 8


class ImageState:
    model: ImageModel
    challenger: ImageModel | None = None
    follower: Follower | None = None
    log: ImageLog
    trial: Trial[ImageModel, np.ndarray, np.ndarray] | None = None


ImageAsked = Asked[ImageModel, np.ndarray, np.ndarray]
Question = tuple[np.ndarray, ImageAsked | None]  # a picture, and the part that it has in a trial


class ImageApplication(Application):
    page = "image_classification"

    def __init__(self, state: ImageState, settings: Serve) -> None:
        self.state, self.limits = state, Limits.of(settings.requests)
        self.room = DecodingRoom(self.limits.decoding, settings.admission)
        self.together = MicroBatcher(
            self._predict, most=TOGETHER, lanes=max(1, cores() - 1), bounds=settings.admission
        )
        self.by_canary = ThreadPoolExecutor(CANARY_THREADS, "by-canary")
        super().__init__(state, settings)

    def endpoints(self) -> Sequence[Endpoint]:
        return [
            Endpoint("/predict", self.predict, "POST", "predict"),
            Endpoint("/predict_batch", self.predict_batch, "POST", "predict"),
            Endpoint("/feedback", self.feedback, "POST", "feedback"),
        ]

    def check_predicting(self) -> None:
        super().check_predicting()
        self.together.check()

    def describe(self) -> dict[str, Any]:
        model = self.state.model
        image = dict(zip(("channels", "height", "width"), model.image, strict=True))
        return {"classes": model.classes, "image": image}

    def document(self) -> dict[str, Any]:
        return image_openapi.document(self.state.model, self.limits)

    async def predict(self, request: Request) -> Response:
        model = self.state.model
        body = await self.body(request)
        media_type = request_body.media_type(request)
        form = await request_body.multipart(request, body) if media_type == "multipart/form-data" else None
        try:
            if len(body) > BYTES_AT_ONCE:
                raise TakesLong
            image = self._image(model, body, media_type, form, at_once=True)
        except TakesLong:
            image = await run(self.predicting, self._image, model, body, media_type, form)
        asked = self._asked(model, request)
        if asked is not None and asked.role == "canary":
            if asked.has_room():  # its own thread may wait for the challenger: others need not
                return await run(self.by_canary, self._predict_alone, model, image, asked)
            asked = None
        return await self.together.ask(model, (image, asked))

    def _predict(self, model: ImageModel, questions: Sequence[Question]) -> list[Response]:
        """Pictures that came together; the trial of one of them, if any, begins after its answer."""
        images = np.stack([image for image, _ in questions])
        now = datetime.now(UTC)
        answers = self._answers(model, images, model.probabilities(images), now)
        for (image, asked), answer in zip(questions, answers, strict=True):
            if asked is not None:
                asked.shown(image[np.newaxis], [answer["prediction_id"]], now)
        return list(map(json_response, answers))

    def _predict_alone(self, model: ImageModel, image: np.ndarray, asked: ImageAsked) -> Response:
        return json_response(self._tried_answers(model, image[np.newaxis], asked)[0])

    async def predict_batch(self, request: Request) -> Response:
        model = self.state.model
        body = await self.json_body(request)
        asked = self._asked(model, request)
        return await run(self.predicting, self._predict_batch, model, body, asked)

    def _predict_batch(self, model: ImageModel, body: bytes, asked: ImageAsked | None) -> Response:
        given = request_body.json_object(body)
        request_body.check_fields(given, ["items"])
        booleans = request_body.may_hold_booleans(body)
        decoder = Decoder(model.image, self.limits, room=self.room, booleans=booleans)
        images = decoder.batch(given["items"])
        return json_response({"predictions": self._tried_answers(model, images, asked)})

    def _image(
        self, model: ImageModel, body: bytes, media_type: str, form: Any, at_once: bool = False
    ) -> np.ndarray:
        """uint8 (C, H, W) that the network takes. HttpError; TakesLong where it cannot be done at once."""
        booleans = request_body.may_hold_booleans(body)
        if at_once:
            decoder = Decoder(model.image, self.limits, pixels_at_once=PIXELS_AT_ONCE, booleans=booleans)
        else:
            decoder = Decoder(model.image, self.limits, room=self.room, booleans=booleans)
        if form is not None:
            return _from_form(decoder, form)
        if media_type in FORMATS:
            return decoder.picture(body, media_type)
        if media_type == "application/json":
            return _from_json(decoder, body)
        raise unsupported(media_type, [*FORMATS, "multipart/form-data", "application/json"])

    def _asked(self, model: ImageModel, request: Request) -> ImageAsked | None:
        """The part that the request has in a trial."""
        trial = self.state.trial
        return None if trial is None else trial.asked(model, client_key(request))

    def _tried_answers(
        self, model: ImageModel, images: np.ndarray, asked: ImageAsked | None
    ) -> list[dict[str, Any]]:
        """Answers of `model`, or of the challenger if the request is a canary's."""
        if asked is None:
            probabilities = model.probabilities(images)
        else:
            model, probabilities, asked = asked.answer(images)
        now = datetime.now(UTC)
        answers = self._answers(model, images, probabilities, now)
        if asked is not None:
            asked.shown(images, [answer["prediction_id"] for answer in answers], now)
        return answers

    def _answers(
        self, model: ImageModel, images: np.ndarray, probabilities: np.ndarray, now: datetime
    ) -> list[dict[str, Any]]:
        """Counts and logs what `model` answers. ModelError: it gives numbers that are none."""
        if not np.isfinite(probabilities).all():
            raise ModelError(f"Version {model.version} gives a picture probabilities that are no numbers.")
        version, classes = model.version, model.classes
        ids = new_ids(now, len(images))
        labels = [classes[best] for best in probabilities.argmax(axis=1).tolist()]
        rows = zip(ids, probabilities, images, strict=True)
        self.state.log.add(
            *(ImagePrediction(id_, now, version, classes, row, image) for id_, row, image in rows)
        )
        for label, count in Counter(labels).items():
            image_metrics().predictions.labels(version, label).inc(count)
        name = {"name": model.name, "version": version}
        return [
            {
                "prediction_id": id_,
                "label": label,
                "probabilities": dict(zip(classes, row, strict=True)),
                "model": name,
            }
            for id_, label, row in zip(ids, labels, probabilities.tolist(), strict=True)
        ]

    async def feedback(self, request: Request) -> Response:
        # In a thread from the first byte on: it could be a long body.
        return await run(self.storing, self._feedback, await self.json_body(request))

    def _feedback(self, body: bytes) -> Response:
        given = request_body.json_object(body)
        request_body.check_fields(given, ["prediction_id", "label"])
        label, prediction_id = given["label"], given["prediction_id"]
        classes = self.state.model.classes
        if label not in classes:
            hint = f' Labels are text: "{label}".' if isinstance(label, int) and str(label) in classes else ""
            raise HttpError(
                "unknown_label", f"{shown(label)} is not a class. Classes: {', '.join(classes)}.{hint}"
            )
        if not isinstance(prediction_id, str):
            raise HttpError("unknown_prediction", "prediction_id must be a string that /predict gave.")
        predicted, new = self.state.log.record_feedback(prediction_id, label)
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
