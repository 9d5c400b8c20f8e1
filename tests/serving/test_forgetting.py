"""What is deleted from the prediction log is gone, from its rows and from its bytes; the rest stays."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from pipeline.log import forgetting, prediction_log
from pipeline.log.trial_log import trials
from pipeline.tasks.recommendation.data.asking import Answer, Event, Item
from serving import retention
from serving.image_log import ImageLog, ImagePrediction
from serving.metrics import metrics
from serving.prediction_log import new_id
from serving.recommendation_log import Recommendation, RecommendationLog
from serving.retention import Retention
from tests.command_line import Command
from tests.serving.logs import count, written
from tests.serving.synthetic import DIGITS

NOW = datetime.now(UTC)
OLD = NOW - timedelta(days=40)
LABEL = "a label that nobody else uses"
CUSTOMER, NEIGHBOUR = "customer Wilhelmina", "customer Balthasar"


def stored_bytes(log_url: str) -> bytes:
    file = prediction_log.sqlite_file(log_url)
    assert file is not None
    return b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))


def predict(log: ImageLog, at: datetime) -> str:
    shares = np.full(10, 0.1, dtype=np.float32)
    image = np.zeros((1, 28, 28), dtype=np.uint8)
    classes = (LABEL, *DIGITS[1:]) if at == OLD else DIGITS
    prediction = ImagePrediction(new_id(at), at, "3", classes, shares, image)
    assert log.add(prediction)
    return prediction.id


def recommend(log: RecommendationLog, customer: str, at: datetime) -> str:
    answer = Answer((Item(1001, "MILK", 0.5, "often"), Item(1002, "EGGS", 0.4, "often")), "network")
    shown = Recommendation(new_id(at), at, "7", customer, "mixed", answer)
    assert log.add(shown)
    return shown.id


@pytest.fixture
def shop_log(log_url: str) -> Iterator[RecommendationLog]:
    made = RecommendationLog(log_url, "retail", metrics())
    yield made
    made.close()


@pytest.fixture
def other_log(log_url: str) -> Iterator[ImageLog]:
    """Another project in the same database."""
    made = ImageLog(log_url, "signs", metrics())
    yield made
    made.close()


def tried(log_url: str, project: str, prediction_id: str, at: datetime) -> None:
    """A row of a challenger's answer beside the one that was shown."""
    row = {
        "id": new_id(at), "at": at, "project": project, "challenger": "c" * 64, "challenger_version": "4",
        "champion_version": "3", "model_version": "4", "role": "shadow", "prediction_id": prediction_id,
        "part": 0, "unit": "0" * 16,
    }  # fmt: skip
    engine = prediction_log.engine(log_url)
    with engine.begin() as connection:
        prediction_log.metadata.create_all(connection)
        connection.execute(trials.insert(), row)
    engine.dispose()


def test_what_a_challenger_answered_goes_with_the_answer(
    shop_log: RecommendationLog, log_url: str, fullcycle: Command
) -> None:
    shown, others = recommend(shop_log, CUSTOMER, NOW), recommend(shop_log, NEIGHBOUR, NOW)
    old, kept = recommend(shop_log, NEIGHBOUR, OLD), recommend(shop_log, NEIGHBOUR, NOW)
    written(shop_log)
    for prediction_id, at in ((shown, NOW), (others, NOW), (old, OLD), (kept, NOW)):
        tried(log_url, "retail", prediction_id, at)
    assert fullcycle("forget", "retail", "--customer", CUSTOMER)[0] == 0
    assert count(log_url, trials) == 3 and count(log_url, trials, prediction_id=shown) == 0
    assert fullcycle("forget", "retail", "--prediction", others)[0] == 0
    assert count(log_url, trials) == 2 and count(log_url, trials, prediction_id=others) == 0
    assert fullcycle("forget", "retail", "--before", (NOW - timedelta(days=30)).date().isoformat())[0] == 0
    assert count(log_url, trials) == 1 and count(log_url, trials, prediction_id=kept) == 1


def test_what_came_before_a_day_is_gone(
    log: ImageLog, other_log: ImageLog, log_url: str, fullcycle: Command
) -> None:
    old = [predict(log, OLD) for _ in range(5)]
    new, others = predict(log, NOW), predict(other_log, OLD)
    written(log)
    log.record_feedback(old[0], "4")
    log.record_feedback(new, "5")
    written(other_log)
    other_log.record_feedback(others, "6")
    day = (NOW - timedelta(days=30)).date().isoformat()
    code, out, _ = fullcycle("forget", "digits", "--before", day)
    assert code == 0
    assert "1 of feedback, 0 of captures, 0 of trials, 5 of predictions" in out
    assert count(log_url, prediction_log.predictions) == 2
    assert count(log_url, prediction_log.predictions, id=new) == 1
    assert count(log_url, prediction_log.predictions, project="signs") == 1
    assert count(log_url, prediction_log.feedback, prediction_id=old[0]) == 0
    assert count(log_url, prediction_log.feedback) == 2
    code, out, _ = fullcycle("forget", "digits", "--before", day, "--json")
    kinds = ("feedback", "captures", "trials", "predictions", "recommendations", "events")
    deleted = dict.fromkeys(kinds, 0)
    assert (code, json.loads(out)["deleted"]) == (0, deleted), "nothing more to delete is no error"


def test_the_bytes_are_gone_too(log: ImageLog, log_url: str, fullcycle: Command) -> None:
    ids = [predict(log, OLD) for _ in range(300)]
    keep = [predict(log, NOW) for _ in range(3)]
    written(log)
    assert ids[0].encode() in stored_bytes(log_url)
    size = len(stored_bytes(log_url))
    assert fullcycle("forget", "digits", "--before", NOW.isoformat())[0] == 0
    left = stored_bytes(log_url)
    assert not [id_ for id_ in ids if id_.encode() in left]
    assert LABEL.encode() not in left
    assert len(left) < size / 2
    assert count(log_url, prediction_log.predictions) == len(keep)
    predict(log, NOW)
    written(log)
    assert count(log_url, prediction_log.predictions) == len(keep) + 1, "the log goes on"


def test_one_prediction_and_its_feedback(log: ImageLog, log_url: str, fullcycle: Command) -> None:
    first, second = predict(log, NOW), predict(log, NOW)
    written(log)
    for id_ in (first, second):
        log.record_feedback(id_, "4")
    code, out, _ = fullcycle("forget", "digits", "--prediction", first, "--json")
    assert code == 0
    deleted = {"feedback": 1, "captures": 0, "events": 0, "trials": 0, "predictions": 1, "recommendations": 0}
    assert json.loads(out)["deleted"] == deleted
    assert count(log_url, prediction_log.predictions, id=second) == 1
    assert count(log_url, prediction_log.feedback, prediction_id=second) == 1
    assert first.encode() not in stored_bytes(log_url)
    assert fullcycle("forget", "retail", "--prediction", second)[0] == 0
    assert count(log_url, prediction_log.predictions, id=second) == 1, "of another project"
    assert count(log_url, prediction_log.feedback, prediction_id=second) == 1


def test_everything_of_one_customer(shop_log: RecommendationLog, log_url: str, fullcycle: Command) -> None:
    his = [recommend(shop_log, CUSTOMER, at) for at in (OLD, NOW)]
    hers = recommend(shop_log, NEIGHBOUR, NOW)
    written(shop_log)
    for list_ in (his[0], hers):
        shop_log.record_feedback(list_, 1001, "purchase")
    both = [Event(customer, 1002, "view", NOW) for customer in (CUSTOMER, NEIGHBOUR)]
    shop_log.record_events(both, NOW)
    assert CUSTOMER.encode() in stored_bytes(log_url)
    code, out, _ = fullcycle("forget", "retail", "--customer", CUSTOMER)
    assert code == 0
    assert "2 of events, 0 of trials, 2 of recommendations" in out
    left = stored_bytes(log_url)
    for secret in (CUSTOMER, *his):
        assert secret.encode() not in left
    assert count(log_url, prediction_log.recommendations, customer=NEIGHBOUR) == 1
    assert count(log_url, prediction_log.events, customer=NEIGHBOUR) == 2
    assert [event.customer for part in shop_log.stored_events() for event in part] == [NEIGHBOUR] * 2


def test_old_lists_and_events(shop_log: RecommendationLog, log_url: str, fullcycle: Command) -> None:
    for at in (OLD, NOW):
        recommend(shop_log, CUSTOMER, at)
        shop_log.record_events([Event(CUSTOMER, 1002, "view", at)], at)
    written(shop_log)
    assert fullcycle("forget", "retail", "--before", (NOW - timedelta(days=1)).isoformat())[0] == 0
    assert count(log_url, prediction_log.recommendations) == 1
    assert count(log_url, prediction_log.events) == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["digits"], 2, "one of the arguments --before --prediction --customer is required"),
        (["digits", "--before", "2026-01-01", "--customer", "7"], 2, "not allowed with argument"),
        (["nothing", "--before", "2026-01-01"], 2, "no project 'nothing'"),
        (["digits", "--before", "yesterday"], 2, "--before yesterday: not a day such as 2026-03-01"),
        (["digits", "--before", "2026-13-01"], 2, "not a day such as"),
        (["digits", "--before", "2026-01-01T10:00:00"], 2, "a time needs a time zone"),
        (["digits", "--before", "2999-01-01"], 2, "lies in the future"),
        (["digits", "--before", "2026-01-01"], 2, "There is no prediction log"),
    ],
)
def test_what_makes_no_sense_is_refused(
    fullcycle: Command, words: list[str], code: int, message: str
) -> None:
    found, out, error = fullcycle("forget", *words)
    assert (found, out) == (code, "")
    assert message in error


def test_a_log_that_somebody_holds_is_an_error(
    log: ImageLog, log_url: str, fullcycle: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(log, OLD)
    written(log)
    monkeypatch.setattr(prediction_log, "BUSY_MILLISECONDS", 50)
    holder = prediction_log.engine(log_url)
    with holder.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        code, _, error = fullcycle("forget", "digits", "--before", NOW.isoformat())
        connection.exec_driver_sql("ROLLBACK")
    assert code == 7
    assert "could not be changed" in error
    assert "locked" in error
    with holder.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql("SELECT count(*) FROM predictions").all()  # reads, and goes on reading
        code, _, error = fullcycle("forget", "digits", "--before", NOW.isoformat())
        connection.exec_driver_sql("ROLLBACK")
    holder.dispose()
    assert code == 7
    assert fullcycle("forget", "digits", "--before", NOW.isoformat())[0] == 0
    assert LABEL.encode() not in stored_bytes(log_url)


def test_a_service_deletes_what_is_older_than_it_keeps(
    log: ImageLog, log_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "EVERY_SECONDS", 0.02)
    ids = [predict(log, OLD) for _ in range(2500)]
    new = predict(log, NOW)
    written(log)
    keeping = Retention(log_url, "digits", days=30)
    deadline = time.monotonic() + 20
    while count(log_url, prediction_log.predictions) > 1 or LABEL.encode() in stored_bytes(log_url):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert count(log_url, prediction_log.predictions, id=new) == 1
    stored = stored_bytes(log_url)
    assert not [id_ for id_ in ids if id_.encode() in stored]
    late = predict(log, OLD)  # became too old while it ran
    deadline = time.monotonic() + 20
    while log.pending or count(log_url, prediction_log.predictions, id=late):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    keeping.close()
    assert not keeping._thread.is_alive()


def test_a_log_that_cannot_be_reached_does_not_end_the_deleting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retention, "EVERY_SECONDS", 0.02)
    (tmp_path / "log.db").write_bytes(b"no database" * 1000)
    keeping = Retention(f"sqlite:///{tmp_path}/log.db", "digits", days=30)
    deadline = time.monotonic() + 10
    while caplog.text.count("could not be deleted") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    keeping.close()


def test_nothing_is_made_where_nothing_was_logged(tmp_path: Path) -> None:
    selections = forgetting.older_than("digits", NOW)
    assert forgetting.forget(f"sqlite:///{tmp_path}/none/log.db", selections, compact=True) == {}
    assert not (tmp_path / "none").exists()
