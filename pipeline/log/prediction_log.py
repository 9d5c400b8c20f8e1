"""The prediction log's tables, and how the pipeline reads them.

serving/prediction_log.py writes them; the pipeline does not import the service.

SQLite at `predictions/P.db`, or what `FULLCYCLE_PREDICTION_LOG` names as an SQLAlchemy URL; one
database may hold several projects.

predictions      answers to pictures; of a picture, what pixels.properties says about it
captures         pictures, where `serve.capture` says so, until `fullcycle harvest` takes them
feedback         what a picture really showed
recommendations  lists of products that were shown, to whom, with their scores
events           what customers did, as told by a shop or as feedback on a recommendation
"""

from collections.abc import Iterator
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
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    create_engine,
    event,
    inspect,
    make_url,
    select,
)

from pipeline.core.errors import ParameterError
from pipeline.core.paths import Paths
from pipeline.log import prediction_log_url

BUSY_MILLISECONDS = 5000  # how long is waited for another writer, and for a server that does not answer
LIBPQ = {  # https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
    "connect_timeout": BUSY_MILLISECONDS // 1000,
    "tcp_user_timeout": BUSY_MILLISECONDS,
    "options": f"-c lock_timeout={BUSY_MILLISECONDS}",
}
ROWS_AT_ONCE = 10_000  # events held in memory while they are read

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

captures = Table(
    "captures",
    metadata,
    Column("prediction_id", String(32), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("project", String(100), nullable=False),
    Column("picture", LargeBinary, nullable=False),  # PNG of what the network was given
    Index("captures_by_time", "project", "at"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("prediction_id", String(32), primary_key=True),
    Column("label", String(200), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)

recommendations = Table(
    "recommendations",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("project", String(100), nullable=False),
    Column("model_version", String(100), nullable=False),
    Column("served_by", String(100), nullable=False),
    Column("customer", String(200)),  # None where nobody was named
    Column("mode", String(20), nullable=False),
    Column("items", JSON, nullable=False),  # product ids, best first
    Column("scores", JSON, nullable=False),
    Column("properties", JSON, nullable=False),
    Index("recommendations_by_time", "project", "at"),
)

events = Table(
    "events",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),  # when the service heard of it
    Column("project", String(100), nullable=False),
    Column("customer", String(200)),
    Column("product", String(200), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),  # when it happened
    Column("quantity", Float, nullable=False),
    Column("value", Float, nullable=False),
    Column("prediction_id", String(32)),  # of the recommendation that it is feedback on
    Index("events_by_time", "project", "at"),
    Index("events_by_prediction", "prediction_id"),
)


def existing(paths: Paths) -> str:
    """URL of the project's log. ParameterError: the environment names none, or there is no such file yet."""
    log_url = prediction_log_url.url(paths)
    file = sqlite_file(log_url)
    if file is not None and not file.is_file():
        raise ParameterError(
            f"There is no prediction log {file}: the service of {paths.project} has answered nothing yet, or "
            f"{prediction_log_url.URL_VARIABLE} should say where its log is."
        )
    return log_url


def shown(log_url: str) -> str:
    """Without the password."""
    return make_url(log_url).render_as_string(hide_password=True)


def sqlite_file(log_url: str) -> Path | None:
    """The file behind an SQLite URL, None for other databases."""
    parsed = make_url(log_url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def engine(log_url: str, *, synchronous: Literal["FULL", "NORMAL"] = "NORMAL") -> Engine:
    """synchronous: of SQLite; FULL has a commit on the disk before it returns."""
    libpq = make_url(log_url).get_driver_name() in ("psycopg", "psycopg2")
    made = create_engine(
        log_url,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        pool_pre_ping=True,  # a server that was started anew is met by a new connection, not by an error
        connect_args=LIBPQ if libpq else {},
    )
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
    version: str | None = None,
    last: int | None = None,
) -> list[dict[str, Any]]:
    """Predictions from `since` on (with a time zone), oldest first, with their feedback.

    version: only the answers of this version of the model; a canary's challenger answers clients, too
    last: only so many of the newest, so that a long log need not be read whole

    Keys: id, at (UTC), project, model_version, label, confidence, probabilities {class: float},
    properties {name: float}, feedback (label or None), feedback_at (UTC or None).
    Empty where nothing was ever logged.
    """
    query = (
        select(predictions, feedback.c.label.label("feedback"), feedback.c.at.label("feedback_at"))
        .select_from(predictions.outerjoin(feedback, feedback.c.prediction_id == predictions.c.id))
        .order_by(predictions.c.at.desc(), predictions.c.id.desc())
        .limit(last)
    )
    return list(read_rows(log_url, _of_version(query, predictions, since, project, version)))[::-1]


def read_recommendations(
    log_url: str,
    since: datetime | None = None,
    *,
    project: str | None = None,
    version: str | None = None,
    last: int | None = None,
) -> list[dict[str, Any]]:
    """Recommendations, chosen and ordered as read_predictions does it, with the events that are feedback.

    Keys: id, at (UTC), project, model_version, served_by, customer (str or None), mode, items
    [product id], scores [float], properties {name: float}, feedback [(product as str, kind)].
    """
    query = (
        select(recommendations).order_by(recommendations.c.at.desc(), recommendations.c.id.desc()).limit(last)
    )
    found = list(read_rows(log_url, _of_version(query, recommendations, since, project, version)))[::-1]
    if not found:
        return []
    said: dict[str, list[tuple[str, str]]] = {row["id"]: [] for row in found}
    answers = select(events).where(events.c.prediction_id.is_not(None), events.c.at >= found[0]["at"])
    for event_ in read_rows(log_url, answers.order_by(events.c.at, events.c.id)):
        if event_["prediction_id"] in said:
            said[event_["prediction_id"]].append((event_["product"], event_["kind"]))
    return [row | {"feedback": said[row["id"]]} for row in found]


def read_events(
    log_url: str, since: datetime | None = None, *, project: str | None = None
) -> Iterator[dict[str, Any]]:
    """Events that the service heard of from `since` on (with a time zone), in the order of hearing.

    Keys: id, at (UTC), project, customer (str; None for feedback of nobody known by name), product
    (str), kind, time (UTC), quantity, value, prediction_id (None where it is no feedback).
    """
    query = select(events).order_by(events.c.at, events.c.id)
    return read_rows(log_url, _within(query, events, since, project))


def _of_version(
    query: Select[Any], table: Table, since: datetime | None, project: str | None, version: str | None
) -> Select[Any]:
    query = _within(query, table, since, project)
    return query if version is None else query.where(table.c.model_version == version)


def _within(query: Select[Any], table: Table, since: datetime | None, project: str | None) -> Select[Any]:
    if since is not None:
        query = query.where(table.c.at >= since.astimezone(UTC))
    return query if project is None else query.where(table.c.project == project)


def read_rows(log_url: str, query: Select[Any]) -> Iterator[dict[str, Any]]:
    """Rows as they are read, nothing where nothing was ever logged; times are UTC."""
    file = sqlite_file(log_url)
    if file is not None and not file.exists():
        return
    reader = engine(log_url)
    try:
        known = inspect(reader)
        if not all(
            known.has_table(table.name) for table in query.columns_clause_froms if isinstance(table, Table)
        ):
            return
        with reader.connect().execution_options(yield_per=ROWS_AT_ONCE) as connection:
            for row in connection.execute(query).mappings():
                yield {
                    name: utc(value) if isinstance(value, datetime) else value for name, value in row.items()
                }
    finally:
        reader.dispose()


def utc(value: datetime) -> datetime:
    """SQLite stores no time zone; what is stored is UTC."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
