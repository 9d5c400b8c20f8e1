"""Production is what the champion answered: not what a canary's challenger did, nor a champion before it."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy

from pipeline import monitor
from pipeline.core import stage
from pipeline.core.artifacts import read_json
from pipeline.core.deployed_network import DeployedNetwork
from pipeline.core.parameters import Monitor
from pipeline.core.paths import Paths
from pipeline.log import prediction_log, prediction_log_url
from pipeline.monitoring.production import Production
from pipeline.tasks.image_classification.data.dataset import read_split, write_split
from pipeline.tasks.image_classification.data.pixels import properties
from pipeline.tasks.recommendation import monitor as shop
from pipeline.tasks.recommendation.monitor import Replayed
from tests.pipeline import candidates
from tests.pipeline.candidates import aliases, model, run

WINDOW = 100
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def log(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlalchemy.Engine]:
    monkeypatch.delenv("FULLCYCLE_PREDICTION_LOG", raising=False)
    paths.prediction_log.parent.mkdir(parents=True)
    made = prediction_log.engine(prediction_log_url.url(paths))
    prediction_log.metadata.create_all(made)
    yield made
    made.dispose()


def answers(
    paths: Paths, version: str, *, first: int, right: bool, from_: datetime
) -> dict[str, list[dict[str, Any]]]:
    """Of WINDOW unseen pictures, each with feedback. Who is not right is not sure, either."""
    pixels = read_split(paths.prepared / "test").pixels[:WINDOW]
    shares = DeployedNetwork(paths.model).run(pixels, "probabilities").max(1)
    columns = {name: values.tolist() for name, values in properties(pixels).items()}
    rows = [
        {
            "id": f"{first + i:032x}", "at": from_ + timedelta(seconds=first + i), "project": "digits",
            "model_version": version, "label": "7", "confidence": float(shares[i]) if right else 0.1,
            "probabilities": {}, "properties": {name: values[i] for name, values in columns.items()},
        }
        for i in range(WINDOW)
    ]  # fmt: skip
    said = [{"prediction_id": row["id"], "label": "7" if right else "1", "at": from_} for row in rows]
    return {"predictions": rows, "feedback": said}


def add(log: sqlalchemy.Engine, *parts: dict[str, list[dict[str, Any]]]) -> None:
    with log.begin() as connection:
        for part in parts:
            for table, rows in part.items():
                connection.execute(prediction_log.metadata.tables[table].insert(), rows)


def production(paths: Paths) -> dict[str, Any]:
    stage.execute("monitor", paths, monitor.run, monitor.PARAMS, time.time())
    found: dict[str, Any] = read_json(paths.reports / "monitoring" / "result.json")["production"]
    return found


def test_answers_of_others_are_not_held_against_the_champion(paths: Paths, log: sqlalchemy.Engine) -> None:
    whole = read_split(paths.prepared / "test")
    write_split(paths.prepared / "val", whole.pixels, whole.labels, whole.ids, np.arange(len(whole)))
    run(paths)
    candidates.parameters(paths, approval="required")
    model(paths, seed=0, scale=2)
    run(paths)
    model(paths, seed=0)
    assert aliases(paths) == {"champion": "1", "challenger": "2"}
    now, before = datetime.now(UTC), datetime.now(UTC) - timedelta(days=9)
    champion = answers(paths, "1", first=0, right=True, from_=now)
    others = [
        answers(paths, "2", first=100, right=False, from_=now),  # a canary
        answers(paths, "0", first=200, right=False, from_=now),  # a champion before, slow to go
        answers(
            paths, "1", first=300, right=False, from_=before
        ),  # another model, of a registry that was wiped
    ]
    add(log, champion, *others)
    found = production(paths)
    assert (found["version"], found["answers"], found["realised_accuracy"]) == ("1", WINDOW, 1.0)
    assert not found["alarm"], found
    shares = [row["confidence"] for row in champion["predictions"]]
    assert found["estimated_accuracy"] == pytest.approx(np.mean(shares))


def test_lists_of_a_canary_are_not_held_against_the_champion(paths: Paths, log: sqlalchemy.Engine) -> None:
    rng = np.random.default_rng(1)
    reference = Replayed({name: rng.normal(size=400) for name in shop.COMPARED}, np.zeros(400))
    rows = [
        {
            "id": f"{i:032x}", "at": NOON + timedelta(seconds=i), "project": "digits",
            "model_version": ("1", "2")[i % 2], "served_by": "network", "customer": "7", "mode": "mixed",
            "items": [1], "scores": [0.5],
            "properties": {"basket_products": 0}
            | {name: float(rng.normal()) + 9 * (i % 2) for name in shop.COMPARED},
        }
        for i in range(2 * WINDOW)
    ]  # fmt: skip
    add(log, {"recommendations": rows})
    limits = Monitor(window=WINDOW, windows=20, degraded_windows=4, alarm_p=0.001, seed=6)
    one, two = (Production(paths.model, version, None) for version in ("1", "2"))
    found = shop._production(paths, one, reference, limits)
    assert (found["answers"], found["alarm"]) == (WINDOW, False)
    assert shop._production(paths, two, reference, limits)["alarm"], "that the other one moved is seen"
