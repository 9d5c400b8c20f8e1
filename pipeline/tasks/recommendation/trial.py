"""What customers did with a challenger's and a champion's lists (pipeline/trial/trial_evidence.py)."""

from datetime import datetime, timedelta
from typing import Any

from pipeline.log import prediction_log
from pipeline.trial.trial_evidence import Scoring, Shown

WANTED = frozenset({"cart", "purchase"})  # feedback that says that a list was of use


def shown(
    log_url: str, project: str, since: datetime | None, now: datetime, within: timedelta
) -> dict[str, Shown]:
    """What customers were shown from `since` on, by the id of the list, with the kinds of feedback that came
    `within` that time. A list that is younger than that at `now` is not judged yet."""
    told: dict[str, list[tuple[datetime, str]]] = {}
    for event in prediction_log.read_events(log_url, since, project=project):
        if event["prediction_id"] is not None:
            told.setdefault(event["prediction_id"], []).append((event["at"], event["kind"]))
    found = {}
    for row in prediction_log.read_recommendations(log_url, since, project=project):
        kinds = frozenset(kind for at, kind in told.get(row["id"], ()) if at - row["at"] <= within)
        truth = kinds if within <= now - row["at"] else None
        found[row["id"]] = Shown({"items": row["items"]}, truth, bool(kinds))
    return found


def _was_wanted(_: Any, truth: frozenset[str]) -> float:
    return float(bool(truth & WANTED))


def _share_in_common(one: Any, other: Any) -> float:
    """Of the longer list; order does not count."""
    items, others = set(map(str, one["items"])), set(map(str, other["items"]))
    return len(items & others) / max(len(items), len(others), 1)


# Nobody can want what he was not shown: only lists that were shown are compared.
SCORING = Scoring(_was_wanted, _share_in_common, is_paired=False)
