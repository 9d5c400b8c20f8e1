"""What the prediction log keeps of a challenger's trial; tables of their own beside those of
prediction_log.py, so that nobody who reads answers takes one that no client saw for one of them.

trials       one row for each answer that the trial looked at, by role:
             shadow    the challenger answered in silence; the client saw the champion's
             canary    the client saw the challenger's answer, or the champion's where `error` says why
             control   the client saw the champion's, and is of the group that the canary's are held against
trial_stops  challengers that have left their bounds; lifted by a person, else for good
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    DateTime,
    Float,
    Index,
    Integer,
    String,
    Table,
    func,
    inspect,
    select,
)

from pipeline.log import prediction_log
from pipeline.log.prediction_log import metadata

Role = Literal["shadow", "canary", "control"]
ERROR_LENGTH_MAX = 500  # characters that the table has for it

trials = Table(
    "trials",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("project", String(100), nullable=False),
    Column("challenger", String(64), nullable=False),  # SHA-256 of its network: whose trial this is
    Column("challenger_version", String(100), nullable=False),
    Column("champion_version", String(100), nullable=False),
    Column("model_version", String(100), nullable=False),  # of the one whose answer this row is about
    Column("role", String(10), nullable=False),
    Column("prediction_id", String(32), nullable=False),  # of what the client was shown
    Column("part", Integer, nullable=False),  # place in the request, from 0; the first speaks for its time
    Column("unit", String(16), nullable=False),  # who asked: what has the same one belongs together
    Column("answer", JSON(none_as_null=True)),  # of the challenger, where there is one
    Column("champion_answer", JSON(none_as_null=True)),  # to a canary's question; a shadow's was shown
    Column("latency_ms", Float),  # the challenger's; None where it is not judged
    Column("champion_ms", Float),  # the champion's, to the same question, just before or after
    Column("error", String(ERROR_LENGTH_MAX)),
    Index("trials_by_time", "project", "challenger", "at"),
    Index("trials_by_prediction", "prediction_id"),
)

trial_stops = Table(
    "trial_stops",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("project", String(100), nullable=False),
    Column("challenger", String(64), nullable=False),  # SHA-256 of its network
    Column("challenger_version", String(100), nullable=False),
    Column("reason", String(2000), nullable=False),
    Column("lifted_at", DateTime(timezone=True)),  # by a person; its trial begins anew then
    Column("lifted_why", String(2000)),
    Index("trial_stops_by_challenger", "project", "challenger"),
)


@dataclass(frozen=True)
class Standing:
    """stopped: why the challenger is, None if it is not; since: when its trial began anew (UTC), None if it
    was never stopped."""

    stopped: str | None
    since: datetime | None


def standing(connection: Connection, project: str, challenger: str) -> Standing:
    """challenger: SHA-256 of its network."""
    found = connection.execute(
        select(trial_stops.c.reason, trial_stops.c.lifted_at).where(
            trial_stops.c.project == project, trial_stops.c.challenger == challenger
        )
    ).all()
    open_stops = [reason for reason, lifted_at in found if lifted_at is None]
    lifted = [prediction_log.utc(lifted_at) for _, lifted_at in found if lifted_at is not None]
    return Standing(open_stops[0] if open_stops else None, max(lifted, default=None))


def lift(connection: Connection, project: str, challenger: str, why: str) -> int:
    """Lets a stopped challenger begin anew; returns how many stops were open."""
    still = (
        trial_stops.c.project == project,
        trial_stops.c.challenger == challenger,
        trial_stops.c.lifted_at.is_(None),
    )
    lifted = trial_stops.update().where(*still).values(lifted_at=datetime.now(UTC), lifted_why=why[:2000])
    return connection.execute(lifted).rowcount


def failures(
    connection: Connection, project: str, challenger: str, since: datetime | None, window: int
) -> tuple[int, list[bool]]:
    """Which answers failed, oldest first, from the beginning of the window before the newest on; and the
    number of that window."""
    of_trial = (*_of(project, challenger, since), trials.c.part == 0, trials.c.role != "control")
    return _windows(connection, [trials.c.error], of_trial, window, lambda row: row[0] is not None)


def times(
    connection: Connection, project: str, challenger: str, since: datetime | None, window: int
) -> tuple[int, list[tuple[float, float]]]:
    """Milliseconds of challenger and champion, as `failures` has them."""
    of_trial = (
        *_of(project, challenger, since),
        trials.c.part == 0,
        trials.c.latency_ms.is_not(None),
        trials.c.champion_ms.is_not(None),
    )
    columns = [trials.c.latency_ms, trials.c.champion_ms]
    return _windows(connection, columns, of_trial, window, tuple)


def read_trials(
    log_url: str, project: str, challenger: str, since: datetime | None
) -> Iterator[dict[str, Any]]:
    """Rows of `trials` of one challenger, oldest first; times are UTC. Nothing where there never was a
    trial."""
    query = select(trials).where(*_of(project, challenger, since)).order_by(trials.c.at, trials.c.id)
    return prediction_log.read_rows(log_url, query)


def read_standing(log_url: str, project: str, challenger: str) -> Standing:
    """As `standing`; of a log that never saw a trial, too."""
    with _opened(log_url) as connection:
        return Standing(None, None) if connection is None else standing(connection, project, challenger)


def lift_stops(log_url: str, project: str, challenger: str, why: str) -> int:
    """As `lift`; of a log that never saw a trial, too."""
    with _opened(log_url) as connection:
        return 0 if connection is None else lift(connection, project, challenger, why)


@contextmanager
def _opened(log_url: str) -> Iterator[Connection | None]:
    """A transaction, on the disk when it ends; None where there are no trials."""
    file = prediction_log.sqlite_file(log_url)
    if file is not None and not file.exists():
        yield None
        return
    engine = prediction_log.engine(log_url, synchronous="FULL")
    try:
        with engine.begin() as connection:
            yield connection if inspect(connection).has_table(trial_stops.name) else None
    finally:
        engine.dispose()


def _of(project: str, challenger: str, since: datetime | None) -> tuple[Any, ...]:
    of_challenger = (trials.c.project == project, trials.c.challenger == challenger)
    return of_challenger if since is None else (*of_challenger, trials.c.at > since)


def _windows(
    connection: Connection, columns: list[Any], of_trial: tuple[Any, ...], window: int, made: Any
) -> tuple[int, list[Any]]:
    count = connection.execute(select(func.count()).select_from(trials).where(*of_trial)).scalar() or 0
    first = max(0, count // window - 1)
    query = select(*columns).where(*of_trial).order_by(trials.c.at, trials.c.id).offset(first * window)
    return first, [made(row) for row in connection.execute(query)]
