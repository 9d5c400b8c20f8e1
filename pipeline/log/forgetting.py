"""Deleting from the prediction log, so that what was deleted is not left in the file either.

Rows go in small transactions: a service that writes the same log waits for none of them for long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, Engine, Table, delete, inspect, or_, select, text

from pipeline.core.errors import ServiceError
from pipeline.log.prediction_log import (
    captures,
    engine,
    events,
    feedback,
    predictions,
    recommendations,
    sqlite_file,
)
from pipeline.log.trial_log import trials

ROWS_AT_ONCE = 1000  # of one transaction


@dataclass(frozen=True)
class Selection:
    """Whose rows: of a table, those where `where` holds."""

    table: Table
    where: ColumnElement[bool]


def older_than(project: str, before: datetime) -> list[Selection]:
    """All that the service answered, tried and heard before a moment (with a time zone).

    That a challenger was stopped is kept: it would be tried again.
    """
    moment = before.astimezone(UTC)
    answered = select(predictions.c.id).where(predictions.c.project == project, predictions.c.at < moment)
    return [
        Selection(feedback, feedback.c.prediction_id.in_(answered)),
        *(
            Selection(table, (table.c.project == project) & (table.c.at < moment))
            for table in (captures, trials, predictions, recommendations, events)
        ),
    ]


def of_prediction(project: str, prediction_id: str) -> list[Selection]:
    """One answer, and what was said about it."""
    known = select(predictions.c.id).where(predictions.c.project == project)
    return [
        Selection(
            feedback, (feedback.c.prediction_id == prediction_id) & feedback.c.prediction_id.in_(known)
        ),
        *(
            Selection(table, (table.c.project == project) & (table.c.prediction_id == prediction_id))
            for table in (captures, events, trials)
        ),
        *(
            Selection(table, (table.c.project == project) & (table.c.id == prediction_id))
            for table in (predictions, recommendations)
        ),
    ]


def of_customer(project: str, customer: str) -> list[Selection]:
    """All lists that a customer was shown, and all that he did."""
    shown = (recommendations.c.project == project) & (recommendations.c.customer == customer)
    lists = select(recommendations.c.id).where(shown)
    his = or_(events.c.customer == customer, events.c.prediction_id.in_(lists))
    return [
        Selection(events, (events.c.project == project) & his),
        Selection(trials, (trials.c.project == project) & trials.c.prediction_id.in_(lists)),
        Selection(recommendations, shown),
    ]


def forget(log_url: str, selections: Sequence[Selection], *, compact: bool) -> dict[str, int]:
    """Deletes; returns the rows deleted of each table that the log has, in the order of the selections.

    compact: also rewrites the log without the room that the rows took (VACUUM); whoever writes waits so long.
    SQLAlchemyError: the log cannot be reached or changed; what was deleted by then stays deleted.
    ServiceError: somebody reads the log for so long that the deleted bytes cannot be overwritten.
    """
    file = sqlite_file(log_url)
    if file is not None and not file.is_file():  # nothing was ever logged
        return {}
    log = engine(log_url, synchronous="FULL")
    try:
        known = inspect(log)
        present = [selection for selection in selections if known.has_table(selection.table.name)]
        with log.connect() as connection:
            if log.dialect.name == "sqlite":
                connection.execute(text("PRAGMA secure_delete = ON"))  # zeros over what is deleted
            deleted = {each.table.name: _delete(connection, each) for each in present}
        _overwrite(log, [each.table.name for each in present], compact)
    finally:
        log.dispose()
    return deleted


def _delete(connection: Connection, selection: Selection) -> int:
    (key,) = selection.table.primary_key.columns
    some = select(key).where(selection.where).limit(ROWS_AT_ONCE)
    deleted = 0
    while keys := connection.scalars(some).all():
        deleted += connection.execute(delete(selection.table).where(key.in_(keys))).rowcount
        connection.commit()
    connection.rollback()  # ends the transaction that the last look began
    return deleted


def _overwrite(log: Engine, tables: Sequence[str], compact: bool) -> None:
    with log.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if log.dialect.name == "sqlite":
            if compact:
                connection.execute(text("VACUUM"))
            # What was deleted lies in the write-ahead log, too, until that is copied and cut off.
            (busy, *_) = connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()
            if busy and compact:
                raise ServiceError(
                    f"{log.url.database}: the rows are deleted, but somebody reads the log, so their bytes "
                    "are still in its -wal file. Run the same command again when nobody does."
                )
        elif log.dialect.name == "postgresql" and compact:
            for name in tables:
                connection.execute(text(f"VACUUM (FULL) {name}"))
