"""Writing the prediction log: predictions behind the client's back, feedback before its answer.

A prediction is put in a queue and written by a thread, many at once. When the log cannot be
written, predictions are still answered: the queue fills, then the newest are dropped and counted.
Feedback is on the disk before the client hears so, together with the prediction that it is about.
"""

import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import sqlalchemy
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from pipeline.core import prediction_log as tables
from serving.http_errors import HttpError
from serving.metrics import Metrics

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.1  # between two writes while predictions come in
RETRY_SECONDS = 1.0  # after a write that failed
WRITE_ROWS = 500  # predictions in one transaction
QUEUE_BYTES = 1 << 27  # images that wait to be described and written
QUEUE_ROWS = (16, 10_000)  # fewest and most predictions that may wait, whatever their images' size
FLUSH_TIMEOUT = 2.0  # seconds that feedback waits for its prediction to be written
CLOSE_TIMEOUT = 5.0  # seconds that shutting down waits for the queue to be written

Properties = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Prediction:
    """image: uint8 (C, H, W), described in the log but not kept; probabilities: float32 (K,)."""

    id: str
    at: datetime
    model_version: str
    classes: tuple[str, ...]
    probabilities: np.ndarray
    image: np.ndarray

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


class PredictionLog:
    """describe: the properties of uint8 (N, C, H, W) images, as in pixels.properties."""

    def __init__(self, url: str, project: str, describe: Properties, metrics: Metrics) -> None:
        self.project, self.describe, self.metrics = project, describe, metrics
        self.file = tables.sqlite_file(url)
        self.engine = tables.engine(url)
        self.durable = tables.engine(url, synchronous="FULL")
        self.waiting: deque[Prediction] = deque()
        self.pending: set[str] = set()
        self.tables_exist = False
        self.closing = False
        self.changed = threading.Condition()
        self.creating = threading.Lock()
        self.thread = threading.Thread(target=self._write_forever, name="prediction-log", daemon=True)
        self.thread.start()

    def add(self, prediction: Prediction) -> bool:
        """Queues a prediction; False, and counted, where the queue is full. Never waits for the disk."""
        fewest, most = QUEUE_ROWS
        with self.changed:
            if len(self.pending) >= min(most, max(fewest, QUEUE_BYTES // prediction.image.nbytes)):
                self.metrics.log_dropped.inc()
                return False
            self.waiting.append(prediction)
            self.pending.add(prediction.id)
        return True

    def record_feedback(self, prediction_id: str, label: str) -> tuple[str, bool]:
        """Writes feedback; returns (the label that was predicted, whether the feedback is new).

        HttpError: unknown_prediction, conflicting_feedback, log_unavailable.
        """
        try:
            if prediction_id in self.pending:
                self._flush(prediction_id)
            self._create_tables()
            return self._insert_feedback(prediction_id, label)
        except (SQLAlchemyError, OSError) as error:
            self.metrics.log_failures.inc()
            self.tables_exist = False
            logger.error("Feedback could not be written: %s", error)
            raise _unavailable() from error

    def _flush(self, prediction_id: str) -> None:
        with self.changed:
            self.changed.notify_all()
            if not self.changed.wait_for(lambda: prediction_id not in self.pending, FLUSH_TIMEOUT):
                raise _unavailable()

    def _insert_feedback(self, prediction_id: str, label: str) -> tuple[str, bool]:
        prediction, feedback = tables.predictions, tables.feedback
        known = sqlalchemy.select(prediction.c.label).where(
            prediction.c.id == prediction_id, prediction.c.project == self.project
        )
        earlier = sqlalchemy.select(feedback.c.label).where(feedback.c.prediction_id == prediction_id)
        with self.durable.connect() as connection:
            predicted = connection.execute(known).scalar()
            if predicted is None:
                raise HttpError("unknown_prediction", f"No prediction has the id {prediction_id!r}.")
            given = connection.execute(earlier).scalar()
        if given is None:
            row = {"prediction_id": prediction_id, "label": label, "at": datetime.now(UTC)}
            try:
                with self.durable.begin() as connection:
                    connection.execute(feedback.insert(), row)
                return str(predicted), True
            except IntegrityError:  # someone else was faster
                with self.durable.connect() as connection:
                    given = connection.execute(earlier).scalar()
        if given != label:
            raise HttpError(
                "conflicting_feedback",
                f"Feedback for this prediction was {given!r} already; {label!r} is not recorded.",
            )
        return str(predicted), False

    def close(self) -> None:
        """Writes what waits and ends the thread."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        self.thread.join(CLOSE_TIMEOUT)
        if self.pending:
            logger.error("%d predictions could not be written to the log.", len(self.pending))
        self.engine.dispose()
        self.durable.dispose()

    def _write_forever(self) -> None:
        pause = FLUSH_SECONDS
        while True:
            with self.changed:
                if not self.closing:
                    self.changed.wait(pause)
                batch = [self.waiting.popleft() for _ in range(min(WRITE_ROWS, len(self.waiting)))]
                last_try = self.closing
            if batch:
                pause = self._write(batch)
            self.metrics.log_waiting.set(len(self.pending))
            if last_try and (pause == RETRY_SECONDS or not self.waiting):
                return

    def _write(self, batch: list[Prediction]) -> float:
        """Writes a batch, or puts it back; returns the seconds to wait before the next."""
        try:
            self._create_tables()
            with self.engine.begin() as connection:
                connection.execute(self._insert(), self._rows(batch))
        except Exception as error:  # whatever goes wrong, predictions must go on
            self.metrics.log_failures.inc()
            self.tables_exist = False
            logger.error("The prediction log cannot be written, %d wait: %s", len(self.pending), error)
            with self.changed:
                self.waiting.extendleft(reversed(batch))
            return RETRY_SECONDS
        with self.changed:
            self.pending.difference_update(p.id for p in batch)
            self.changed.notify_all()
        return FLUSH_SECONDS if len(self.waiting) < WRITE_ROWS else 0.0

    def _rows(self, batch: list[Prediction]) -> list[dict[str, Any]]:
        by_shape: dict[tuple[int, ...], list[Prediction]] = {}
        for prediction in batch:
            by_shape.setdefault(prediction.image.shape, []).append(prediction)
        rows = []
        for group in by_shape.values():
            described = self.describe(np.stack([p.image for p in group]))
            columns = {name: values.tolist() for name, values in described.items()}
            for i, prediction in enumerate(group):
                rows.append(prediction.row(self.project, {k: v[i] for k, v in columns.items()}))
        return rows

    def _insert(self) -> Any:
        """An INSERT that leaves out what is there already: a commit may succeed and still report failure."""
        dialect = self.engine.dialect.name
        if dialect == "sqlite":
            from sqlalchemy.dialects.sqlite import insert
        elif dialect == "postgresql":
            from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]
        else:
            return tables.predictions.insert()
        return insert(tables.predictions).on_conflict_do_nothing()

    def _create_tables(self) -> None:
        with self.creating:
            if self.tables_exist:
                return
            if self.file is not None:
                self.file.parent.mkdir(parents=True, exist_ok=True)
            tables.metadata.create_all(self.engine)
            self.tables_exist = True


def new_id(now: datetime) -> str:
    """32 hex digits: 12 of the time in milliseconds, so that an index grows at its end, then chance."""
    return f"{int(now.timestamp() * 1000):012x}{secrets.token_hex(10)}"


def _unavailable() -> HttpError:
    return HttpError(
        "log_unavailable", "The feedback could not be stored. Send it again later.", {"retry-after": "5"}
    )
