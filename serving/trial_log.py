"""Writing what a trial finds: rows by a thread, as predictions are written; stops at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar

from pipeline.core.serve_parameters import Trial
from pipeline.log import trial_log as tables
from pipeline.log.trial_log import Role, Standing
from serving.application import Model
from serving.prediction_log import PredictionLog, new_id
from serving.trial_judge import Judge

ROW_BYTES = 2000  # about what a row holds in memory

A = TypeVar("A")


@dataclass(frozen=True)
class Tried(Generic[A]):
    """What a model made of a question, and the time it took. answer: None where `error` says why there is
    none, and where it was not waited for any longer."""

    answer: A | None
    milliseconds: float
    error: str | None


@dataclass(frozen=True)
class TrialRow:
    """columns: of pipeline.log.trial_log.trials, but for the project."""

    columns: dict[str, Any]
    nbytes: ClassVar[int] = ROW_BYTES

    @property
    def id(self) -> str:
        return str(self.columns["id"])


def rows(
    challenger: Model,
    champion_version: str,
    role: Role,
    unit: str,
    ids: Sequence[str],
    at: datetime,
    tried: Tried[Any] | None,
    answers: Sequence[Any] | None,
    champion_answers: Sequence[Any] | None,
    champion_ms: float | None,
) -> Iterator[TrialRow]:
    """One for each prediction of a request. ids: of the predictions that the client was shown; tried: by the
    challenger, None in the control group; answers, champion_answers: of each, None where there are none;
    champion_ms: None where the times are not judged.
    """
    for part, id_ in enumerate(ids):
        yield TrialRow(
            {
                "id": new_id(at),
                "at": at,
                "challenger": challenger.sha256,
                "challenger_version": challenger.version,
                "champion_version": champion_version,
                "model_version": champion_version if role == "control" else challenger.version,
                "role": role,
                "prediction_id": id_,
                "part": part,
                "unit": unit,
                "answer": answers[part] if answers else None,
                "champion_answer": champion_answers[part] if champion_answers else None,
                "latency_ms": tried.milliseconds if tried and champion_ms is not None else None,
                "champion_ms": champion_ms,
                "error": tried.error if tried else None,
            }
        )


class TrialLog(PredictionLog[TrialRow]):
    table = tables.trials

    def rows(self, batch: Sequence[TrialRow]) -> list[dict[str, Any]]:
        return [row.columns | {"project": self.project} for row in batch]

    def standing(self, challenger: str) -> Standing:
        """challenger: SHA-256 of its network. HttpError: log_unavailable, as the others."""

        def read() -> Standing:
            with self.durable.connect() as connection:
                return tables.standing(connection, self.project, challenger)

        return self.store(read)

    def judge(self, challenger: str, since: datetime | None, settings: Trial) -> tuple[Judge, str]:
        """One that has seen what the log holds of this trial, so that a restart forgets nothing; and why the
        challenger must be stopped, "" where it need not."""

        def read() -> tuple[Judge, str]:
            with self.durable.connect() as connection:
                of_trial = (connection, self.project, challenger, since, settings.window)
                first_answered, failures = tables.failures(*of_trial)
                first_timed, times = tables.times(*of_trial)
            made = Judge(settings, first_answered, first_timed)
            found = [made.answered(failed) for failed in failures]
            found += [made.timed(milliseconds, champion) for milliseconds, champion in times]
            return made, next(filter(None, found), "")

        return self.store(read)

    def stop(self, challenger: str, version: str, reason: str) -> None:
        """On the disk when it returns."""
        now = datetime.now(UTC)
        row = {
            "id": new_id(now),
            "at": now,
            "project": self.project,
            "challenger": challenger,
            "challenger_version": version,
            "reason": reason,
        }

        def write() -> None:
            with self.durable.begin() as connection:
                connection.execute(tables.trial_stops.insert(), row)

        self.store(write)
