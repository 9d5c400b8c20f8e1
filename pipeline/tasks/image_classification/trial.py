"""What clients' feedback says of a challenger's and a champion's labels (trial/trial_evidence.py)."""

from datetime import datetime, timedelta
from typing import Any

from pipeline.log import prediction_log
from pipeline.trial.trial_evidence import Scoring, Shown


def shown(
    log_url: str, project: str, since: datetime | None, now: datetime, within: timedelta
) -> dict[str, Shown]:
    """What clients were shown from `since` on, by the id of the prediction. Feedback counts that came
    `within` that time; what is younger than that at `now` is not judged yet."""
    found = {}
    for row in prediction_log.read_predictions(log_url, since, project=project):
        answer = {"label": row["label"], "confidence": row["confidence"]}
        told = row["feedback_at"]
        in_time = told is not None and told - row["at"] <= within <= now - row["at"]
        found[row["id"]] = Shown(answer, row["feedback"] if in_time else None, in_time)
    return found


def _is_right(answer: Any, truth: str) -> float:
    return float(answer["label"] == truth)


def _agrees(one: Any, other: Any) -> float:
    return float(one["label"] == other["label"])


# What a picture shows does not depend on which model was asked.
SCORING = Scoring(_is_right, _agrees, is_paired=True)
