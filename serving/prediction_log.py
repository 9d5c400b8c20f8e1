"""Writing the prediction log: predictions behind the client's back, feedback before its answer.

A prediction is put in a queue and written by a thread, many at once. When the log cannot be
written, predictions are still answered: the queue fills, then the newest are dropped and counted.
Feedback is on the disk before the client hears so, together with the prediction that it is about.

A task's log says what its predictions' rows look like, and what feedback on them is.
"""

import logging
import re
import secrets
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import sqlalchemy
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from pipeline.log import prediction_log as tables
from serving.http_errors import HttpError, shown

logger = logging.getLogger(__name__)

ID = re.compile(r"[0-9a-f]{32}")  # as made by new_id
FLUSH_SECONDS = 0.1  # between two writes while predictions come in
RETRY_SECONDS = 1.0  # after a write that failed
WRITE_ROWS = 500  # predictions in one transaction
QUEUE_BYTES = 1 << 27  # what waits to be described and written
QUEUE_ROWS = (16, 10_000)  # fewest and most predictions that may wait, whatever their size
FLUSH_TIMEOUT = 2.0  # seconds that feedback waits for its prediction to be written
CLOSE_TIMEOUT = 5.0  # seconds that shutting down waits for the queue to be written


class Prediction(Protocol):
    """What waits to be logged. id: as made by new_id; nbytes: memory that it holds meanwhile."""

    @property
    def id(self) -> str: ...
    @property
    def nbytes(self) -> int: ...


class LogMetrics(Protocol):
    """What a log counts: of prometheus_client, two counters and a gauge."""

    log_dropped: Any
    log_failures: Any
    log_waiting: Any


P = TypeVar("P", bound=Prediction)
T = TypeVar("T")


class PredictionLog(Generic[P]):
    """The log of one project. A task's log sets `table` and defines `rows`."""

    table: sqlalchemy.Table  # of predictions; has the columns id and project

    def __init__(self, url: str, project: str, metrics: LogMetrics) -> None:
        self.url, self.project, self.metrics = url, project, metrics
        self.file = tables.sqlite_file(url)
        self.engine = tables.engine(url)
        self.durable = tables.engine(url, synchronous="FULL")
        self.waiting: deque[P] = deque()
        self.pending: set[str] = set()
        self.tables_exist = False
        self.closing = False
        self.failing = False
        self.changed = threading.Condition()
        self.creating = threading.Lock()
        self.thread = threading.Thread(target=self._write_forever, name="prediction-log", daemon=True)
        self.thread.start()

    def rows(self, batch: Sequence[P]) -> list[dict[str, Any]]:
        """Rows of `table`; called in the writing thread, so they may cost something."""
        raise NotImplementedError

    def write(self, connection: sqlalchemy.Connection, batch: Sequence[P]) -> None:
        connection.execute(self.insert(self.table), self.rows(batch))

    def add(self, *predictions: P) -> bool:
        """Queues predictions; False, and counted, where the queue is full. Never waits for the disk."""
        fewest, most = QUEUE_ROWS
        added = 0
        with self.changed:
            for prediction in predictions:
                if len(self.pending) >= min(most, max(fewest, QUEUE_BYTES // prediction.nbytes)):
                    break
                self.waiting.append(prediction)
                self.pending.add(prediction.id)
                added += 1
        if added < len(predictions):
            self.metrics.log_dropped.inc(len(predictions) - added)
        return added == len(predictions)

    def store(self, work: Callable[[], T]) -> T:
        """What `work` returns, which reads and writes by `durable`. HttpError: its own, log_unavailable."""
        try:
            self._create_tables()
            return work()
        except (SQLAlchemyError, OSError) as error:
            self.metrics.log_failures.inc()
            self.tables_exist = False
            logger.error("The prediction log could not be written: %s", error)
            raise _unavailable() from error

    def find(self, prediction_id: str) -> sqlalchemy.RowMapping:
        """The row of a prediction of this project, also of one that still waited to be written.

        HttpError: unknown_prediction, log_unavailable.
        """
        if not ID.fullmatch(prediction_id):  # nor could every database be asked for every text
            raise _unknown(prediction_id)
        if prediction_id in self.pending:
            self._flush(prediction_id)
        known = sqlalchemy.select(self.table).where(
            self.table.c.id == prediction_id, self.table.c.project == self.project
        )
        with self.durable.connect() as connection:
            row = connection.execute(known).mappings().first()
        if row is None:
            raise _unknown(prediction_id)
        return row

    def insert(self, table: sqlalchemy.Table) -> Any:
        """An INSERT that leaves out what is there already: a commit may succeed and still report failure."""
        dialect = self.engine.dialect.name
        if dialect == "sqlite":
            from sqlalchemy.dialects.sqlite import insert
        elif dialect == "postgresql":
            from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]
        else:
            return table.insert()
        return insert(table).on_conflict_do_nothing()

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

    def _flush(self, prediction_id: str) -> None:
        with self.changed:
            self.changed.notify_all()
            if not self.changed.wait_for(lambda: prediction_id not in self.pending, FLUSH_TIMEOUT):
                raise _unavailable()

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

    def _write(self, batch: list[P]) -> float:
        """Writes a batch, or puts it back; returns the seconds to wait before the next."""
        try:
            self._create_tables()
            with self.engine.begin() as connection:
                self.write(connection, batch)
        except (IntegrityError, DataError) as error:  # a row at which the database will always take offence
            if len(batch) > 1:
                return self._write_apart(batch)
            self.metrics.log_dropped.inc()
            logger.error("Prediction %s cannot be logged and is left out: %s", batch[0].id, error)
        except Exception as error:  # whatever goes wrong, predictions must go on
            self.metrics.log_failures.inc()
            self.tables_exist = False
            if not self.failing:  # once: it is tried each second
                logger.error(
                    "The prediction log cannot be written; it is tried again until it can: %s", error
                )
            self.failing = True
            with self.changed:
                self.waiting.extendleft(reversed(batch))
            return RETRY_SECONDS
        if self.failing:
            logger.warning("The prediction log is written again.")
            self.failing = False
        with self.changed:
            self.pending.difference_update(p.id for p in batch)
            self.changed.notify_all()
        return FLUSH_SECONDS if len(self.waiting) < WRITE_ROWS else 0.0

    def _write_apart(self, batch: list[P]) -> float:
        """As `_write`, so that one row keeps no other from being written."""
        for place, prediction in enumerate(batch):
            if self._write([prediction]) == RETRY_SECONDS:
                with self.changed:
                    self.waiting.extendleft(reversed(batch[place + 1 :]))
                return RETRY_SECONDS
        return FLUSH_SECONDS

    def _create_tables(self) -> None:
        if self.tables_exist:
            return
        if not self.creating.acquire(timeout=FLUSH_TIMEOUT):  # who creates them waits for the database
            raise _unavailable()
        try:
            if self.file is not None:
                self.file.parent.mkdir(parents=True, exist_ok=True)
            tables.metadata.create_all(self.engine)
            self.tables_exist = True
        finally:
            self.creating.release()


def new_ids(now: datetime, count: int) -> list[str]:
    """Of 32 hex digits: 12 of the time in milliseconds, so that an index grows at its end, then chance."""
    time, chance = f"{int(now.timestamp() * 1000):012x}", secrets.token_hex(10 * count)
    return [time + chance[i : i + 20] for i in range(0, 20 * count, 20)]


def new_id(now: datetime) -> str:
    return new_ids(now, 1)[0]


def _unknown(prediction_id: str) -> HttpError:
    return HttpError("unknown_prediction", f"No prediction has the id {shown(prediction_id)}.")


def _unavailable() -> HttpError:
    return HttpError(
        "log_unavailable", "What you sent could not be stored. Send it again later.", {"retry-after": "5"}
    )
