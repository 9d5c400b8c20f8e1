"""The prediction log of an image service: what an answer's row holds, and feedback on its label."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy
from sqlalchemy.exc import IntegrityError

from pipeline.core.serve_parameters import Capture
from pipeline.log import prediction_log as tables
from pipeline.tasks.image_classification.data import pixels
from serving.http_errors import HttpError, shown
from serving.prediction_log import LogMetrics, PredictionLog

DESCRIBED_BYTES = 1 << 15  # of pixels, described at once


class ImagePrediction(NamedTuple):
    """image: uint8 (C, H, W), described in the log and kept where `serve.capture` says so; probabilities:
    float32 (K,)."""

    id: str
    at: datetime
    model_version: str
    classes: tuple[str, ...]
    probabilities: np.ndarray
    image: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.image.nbytes

    def row(self, project: str, properties: dict[str, float]) -> dict[str, Any]:
        best = int(self.probabilities.argmax())
        shares = self.probabilities.tolist()
        return {
            "id": self.id,
            "at": self.at,
            "project": project,
            "model_version": self.model_version,
            "label": self.classes[best],
            "confidence": shares[best],
            "probabilities": dict(zip(self.classes, shares, strict=True)),
            "properties": properties,
        }


def _is_wanted(one: ImagePrediction, capture: Capture) -> bool:
    """The end of an id is chance, so that any share of ids is a random sample."""
    drawn = int(one.id[-8:], 16) < capture.share * (1 << 32)
    return drawn or float(one.probabilities.max()) < capture.confidence_below


def _parts(predictions: list[ImagePrediction]) -> Iterator[list[ImagePrediction]]:
    """So few that what is counted about their pixels stays in the processor's cache, and that the threads
    which answer requests get their turn in between."""
    count = max(1, DESCRIBED_BYTES // predictions[0].nbytes)
    for start in range(0, len(predictions), count):
        yield predictions[start : start + count]


class ImageLog(PredictionLog[ImagePrediction]):
    table = tables.predictions

    def __init__(self, url: str, project: str, metrics: LogMetrics, capture: Capture | None = None) -> None:
        self.capture = capture
        super().__init__(url, project, metrics)

    def write(self, connection: sqlalchemy.Connection, batch: Sequence[ImagePrediction]) -> None:
        super().write(connection, batch)
        captured = [self._captured(one) for one in batch if self.capture and _is_wanted(one, self.capture)]
        if captured:
            connection.execute(self.insert(tables.captures), captured)

    def rows(self, batch: Sequence[ImagePrediction]) -> list[dict[str, Any]]:
        by_shape: dict[tuple[int, ...], list[ImagePrediction]] = {}
        for prediction in batch:
            by_shape.setdefault(prediction.image.shape, []).append(prediction)
        rows = []
        for group in (part for of_shape in by_shape.values() for part in _parts(of_shape)):
            described = pixels.properties(np.stack([p.image for p in group]))
            columns = {name: values.tolist() for name, values in described.items()}
            for i, prediction in enumerate(group):
                rows.append(prediction.row(self.project, {k: v[i] for k, v in columns.items()}))
        return rows

    def _captured(self, one: ImagePrediction) -> dict[str, Any]:
        return {
            "prediction_id": one.id,
            "at": one.at,
            "project": self.project,
            "picture": pixels.png(one.image),
        }

    def record_feedback(self, prediction_id: str, label: str) -> tuple[str, bool]:
        """Writes feedback; returns (the label that was predicted, whether the feedback is new).

        HttpError: unknown_prediction, conflicting_feedback, log_unavailable.
        """
        return self.store(lambda: self._insert_feedback(prediction_id, label))

    def _insert_feedback(self, prediction_id: str, label: str) -> tuple[str, bool]:
        predicted = str(self.find(prediction_id)["label"])
        feedback = tables.feedback
        earlier = sqlalchemy.select(feedback.c.label).where(feedback.c.prediction_id == prediction_id)
        with self.durable.connect() as connection:
            given = connection.execute(earlier).scalar()
        if given is None:
            row = {"prediction_id": prediction_id, "label": label, "at": datetime.now(UTC)}
            try:
                with self.durable.begin() as connection:
                    connection.execute(feedback.insert(), row)
                return predicted, True
            except IntegrityError:  # someone else was faster
                with self.durable.connect() as connection:
                    given = connection.execute(earlier).scalar()
        if given != label:
            raise HttpError(
                "conflicting_feedback",
                f"Feedback for this prediction was {given!r} already; {shown(label)} is not recorded.",
            )
        return predicted, False
