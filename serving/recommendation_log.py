"""The prediction log of a recommendation service: the lists that were shown, and what customers did.

Feedback on a list is an event that names the list. Its id is made from what it says, so that the
same feedback sent twice is one event.
"""

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.exc import IntegrityError

from pipeline.log import prediction_log as tables
from pipeline.tasks.recommendation.data.asking import Answer, Event, Id, Kind, Mode
from serving.http_errors import HttpError
from serving.prediction_log import PredictionLog, new_id

ITEM_BYTES = 400  # about what an item of an answer holds in memory
REPLAY_EVENTS = 1000  # handed to the recommender at once


@dataclass(frozen=True)
class Recommendation:
    id: str
    at: datetime
    model_version: str
    customer: Id | None
    mode: Mode
    answer: Answer

    @property
    def nbytes(self) -> int:
        return ITEM_BYTES * (1 + len(self.answer.items))

    def row(self, project: str) -> dict[str, Any]:
        answer = self.answer
        return {
            "id": self.id,
            "at": self.at,
            "project": project,
            "model_version": self.model_version,
            "served_by": answer.served_by,
            "customer": None if self.customer is None else str(self.customer),
            "mode": self.mode,
            "items": [item.product_id for item in answer.items],
            "scores": [item.score for item in answer.items],
            "properties": dict(answer.properties),
        }


class RecommendationLog(PredictionLog[Recommendation]):
    table = tables.recommendations

    def rows(self, batch: Sequence[Recommendation]) -> list[dict[str, Any]]:
        return [recommendation.row(self.project) for recommendation in batch]

    def record_feedback(self, prediction_id: str, product: Id, kind: Kind) -> tuple[Event | None, bool]:
        """Writes feedback; returns (the event, None where the list was for nobody; whether it is new).

        HttpError: unknown_prediction, not_recommended, log_unavailable.
        """
        return self.store(lambda: self._insert_feedback(prediction_id, product, kind))

    def _insert_feedback(self, prediction_id: str, product: Id, kind: Kind) -> tuple[Event | None, bool]:
        shown = self.find(prediction_id)
        if str(product) not in map(str, shown["items"]):
            raise HttpError(
                "not_recommended",
                f"Product {product!r} was not in the answer {prediction_id!r}. What a customer does with "
                "other products goes to /events.",
            )
        now = datetime.now(UTC)
        said = f"{prediction_id}\0{product}\0{kind}"
        row = {
            "id": hashlib.sha256(said.encode()).hexdigest()[:32],
            "at": now,
            "project": self.project,
            "customer": shown["customer"],
            "product": str(product),
            "kind": kind,
            "time": now,
            "quantity": Event.quantity,
            "value": Event.value,
            "prediction_id": prediction_id,
        }
        try:
            with self.durable.begin() as connection:
                kept = connection.execution_options(preserve_rowcount=True)  # PostgreSQL's would be -1
                new = kept.execute(self.insert(tables.events), row).rowcount > 0
        except IntegrityError:  # it is there, in a database whose INSERT cannot leave it out
            new = False
        return None if shown["customer"] is None else Event(shown["customer"], product, kind, now), new

    def record_events(self, events: Sequence[Event], now: datetime) -> None:
        """All events or none are on the disk afterwards. HttpError: log_unavailable."""
        rows = [
            {
                "id": f"{new_id(now)[:12]}{place:04x}{secrets.token_hex(8)}",  # read again in this order
                "at": now,
                "project": self.project,
                "customer": str(event.customer),
                "product": str(event.product),
                "kind": event.kind,
                "time": event.at,
                "quantity": event.quantity,
                "value": event.value,
                "prediction_id": None,
            }
            for place, event in enumerate(events)
        ]
        self.store(lambda: self._insert_events(rows))

    def _insert_events(self, rows: list[dict[str, Any]]) -> None:
        with self.durable.begin() as connection:
            connection.execute(tables.events.insert(), rows)

    def stored_events(self) -> Iterator[list[Event]]:
        """Every event of the project that has a customer, oldest first, in parts."""
        part: list[Event] = []
        for row in tables.read_events(self.url, project=self.project):
            if row["customer"] is None:
                continue
            part.append(
                Event(
                    row["customer"], row["product"], row["kind"], row["time"], row["quantity"], row["value"]
                )
            )
            if len(part) == REPLAY_EVENTS:
                yield part
                part = []
        if part:
            yield part
