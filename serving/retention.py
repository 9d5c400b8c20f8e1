"""The prediction log is kept for so many days; what is older is deleted while the service runs."""

import logging
import threading
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from pipeline.log import forgetting

logger = logging.getLogger(__name__)

EVERY_SECONDS = 3600.0  # between two looks for what has become too old
CLOSE_SECONDS = 5.0  # that shutting down waits for a deletion under way


class Retention:
    """Deletes at the start and every hour, in a thread of its own."""

    def __init__(self, log_url: str, project: str, days: int) -> None:
        self._log_url, self._project, self._kept = log_url, project, timedelta(days=days)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while True:
            self._delete(datetime.now(UTC) - self._kept)
            if self._closing.wait(EVERY_SECONDS):
                return

    def _delete(self, before: datetime) -> None:
        try:
            selections = forgetting.older_than(self._project, before)
            deleted = forgetting.forget(self._log_url, selections, compact=False)
        except (SQLAlchemyError, OSError) as error:  # answers go on; in an hour it is tried again
            logger.error("Old rows of the prediction log could not be deleted: %s", error)
            return
        if any(deleted.values()):
            counts = ", ".join(f"{count} of {table}" for table, count in deleted.items())
            logger.info("Deleted from the prediction log, older than %s: %s", before.date(), counts)
