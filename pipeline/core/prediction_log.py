"""The prediction log's tables, and how the pipeline reads them.

serving/prediction_log.py writes them; the pipeline does not import the service.

SQLite at `predictions/P.db`, or what `FULLCYCLE_PREDICTION_LOG` names as an SQLAlchemy URL; one
database may hold several projects. No image is kept, only what pixels.properties says about it.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import orjson
from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Engine,
    Float,
    Index,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    inspect,
    make_url,
    select,
)

from pipeline.core.paths import Paths

URL_VARIABLE = "FULLCYCLE_PREDICTION_LOG"
BUSY_MILLISECONDS = 5000  # how long SQLite waits for another writer

metadata = MetaData()

predictions = Table(
    "predictions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("project", String(100), nullable=False),
    Column("model_version", String(100), nullable=False),
    Column("label", String(200), nullable=False),
    Column("confidence", Float, nullable=False),
    Column("probabilities", JSON, nullable=False),
    Column("properties", JSON, nullable=False),
    Index("predictions_by_time", "project", "at"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("prediction_id", String(32), primary_key=True),
    Column("label", String(200), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)


def url(paths: Paths) -> str:
    """SQLAlchemy URL of the log of a project."""
    return os.environ.get(URL_VARIABLE) or f"sqlite:///{paths.prediction_log}"


def sqlite_file(log_url: str) -> Path | None:
    """The file behind an SQLite URL, None for other databases."""
    parsed = make_url(log_url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def engine(log_url: str, *, synchronous: Literal["FULL", "NORMAL"] = "NORMAL") -> Engine:
    """synchronous: of SQLite; FULL has a commit on the disk before it returns."""
    made = create_engine(log_url, json_serializer=lambda value: orjson.dumps(value).decode())
    if made.dialect.name == "sqlite":

        @event.listens_for(made, "connect")
        def prepare(connection: Any, _record: Any) -> None:
            cursor = connection.cursor()
            for pragma in (
                "journal_mode=WAL",
                f"synchronous={synchronous}",
                f"busy_timeout={BUSY_MILLISECONDS}",
            ):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

    return made


def read_predictions(
    log_url: str,
    since: datetime | None = None,
    *,
    project: str | None = None,
    last: int | None = None,
) -> list[dict[str, Any]]:
    """Predictions from `since` on (with a time zone), oldest first, with their feedback.

    last: only so many of the newest, so that a long log need not be read whole

    Keys: id, at (UTC), project, model_version, label, confidence, probabilities {class: float},
    properties {name: float}, feedback (label or None), feedback_at (UTC or None).
    Empty where nothing was ever logged.
    """
    file = sqlite_file(log_url)
    if file is not None and not file.exists():
        return []
    query = (
        select(predictions, feedback.c.label.label("feedback"), feedback.c.at.label("feedback_at"))
        .select_from(predictions.outerjoin(feedback, feedback.c.prediction_id == predictions.c.id))
        .order_by(predictions.c.at.desc(), predictions.c.id.desc())
        .limit(last)
    )
    if since is not None:
        query = query.where(predictions.c.at >= since.astimezone(UTC))
    if project is not None:
        query = query.where(predictions.c.project == project)
    reader = engine(log_url)
    try:
        if not inspect(reader).has_table(feedback.name):
            return []
        with reader.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()][::-1]
    finally:
        reader.dispose()
    for row in rows:
        row["at"], row["feedback_at"] = _utc(row["at"]), _utc(row["feedback_at"])
    return rows


def _utc(value: datetime | None) -> datetime | None:
    """SQLite stores no time zone; what is stored is UTC."""
    if value is None:
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
