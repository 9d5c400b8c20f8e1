"""Predictions are logged behind the client's back; acknowledged feedback is never lost."""

import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import ParameterError
from pipeline.core.paths import Paths
from pipeline.log import prediction_log as tables
from pipeline.log import prediction_log_url
from pipeline.log.prediction_log import read_events, read_predictions, read_recommendations
from pipeline.tasks.image_classification.data import pixels
from pipeline.tasks.recommendation.data.asking import Answer, Event, Item
from serving import prediction_log
from serving.http_errors import HttpError
from serving.image_log import ImageLog, ImagePrediction
from serving.metrics import metrics
from serving.prediction_log import new_id
from serving.recommendation_log import Recommendation, RecommendationLog
from tests.serving.bento_process import seconds_until
from tests.serving.pictures import digit

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def prediction(
    seed: int = 0, at: datetime | None = None, classes: tuple[str, ...] = ("a", "b")
) -> ImagePrediction:
    at = at or datetime.now(UTC)
    shares = np.random.default_rng(seed).dirichlet(np.ones(len(classes))).astype(np.float32)
    return ImagePrediction(new_id(at), at, "3", classes, shares, digit(seed)[np.newaxis])


def test_everything_added_is_there_after_closing(log_url: str) -> None:
    log = ImageLog(log_url, "digits", metrics())
    made = [prediction(seed) for seed in range(1200)]
    assert all(log.add(one) for one in made)
    log.close()
    rows = {row["id"]: row for row in read_predictions(log_url)}
    assert rows.keys() == {one.id for one in made}
    one, row = made[7], rows[made[7].id]
    assert row["at"] == one.at
    assert (row["project"], row["model_version"], row["feedback"]) == ("digits", "3", None)
    assert row["probabilities"] == pytest.approx({"a": one.probabilities[0], "b": one.probabilities[1]})
    assert row["label"] == max(row["probabilities"], key=row["probabilities"].get)
    assert row["confidence"] == pytest.approx(one.probabilities.max())
    expected = {name: values[0] for name, values in pixels.properties(one.image[np.newaxis]).items()}
    assert row["properties"] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_no_image_is_kept(log: ImageLog, log_url: str) -> None:
    log.add(prediction())
    log.close()
    file = tables.sqlite_file(log_url)
    assert file is not None
    assert digit()[0].tobytes() not in file.read_bytes()


def test_rows_are_written_while_the_service_runs(log: ImageLog, log_url: str) -> None:
    log.add(prediction())
    deadline = time.monotonic() + 5
    while not read_predictions(log_url):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_feedback_finds_a_prediction_that_still_waits(log: ImageLog, log_url: str) -> None:
    one = prediction()
    log.add(one)
    predicted, new = log.record_feedback(one.id, "b")
    assert new
    assert predicted in ("a", "b")
    (row,) = read_predictions(log_url)
    assert row["feedback"] == "b"
    assert row["feedback_at"] >= row["at"]


def test_feedback_is_on_the_disk_when_it_is_acknowledged(log: ImageLog, log_url: str) -> None:
    """Another process sees it at once, and the connection that wrote it syncs every commit."""
    one = prediction()
    log.add(one)
    log.record_feedback(one.id, "b")
    file = tables.sqlite_file(log_url)
    assert file is not None
    with sqlite3.connect(file) as other:
        assert other.execute("select label from feedback").fetchall() == [("b",)]
        assert other.execute("pragma journal_mode").fetchone() == ("wal",)
    other.close()
    with log.durable.connect() as connection:
        assert connection.exec_driver_sql("pragma synchronous").scalar() == 2  # FULL


def test_of_many_at_once_one_feedback_wins(log: ImageLog) -> None:
    one = prediction()
    log.add(one)
    outcomes: list[str] = []

    def send(label: str) -> None:
        try:
            log.record_feedback(one.id, label)
            outcomes.append(label)
        except HttpError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=send, args=("ab"[i % 2],)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("conflicting_feedback") == 4
    assert len(set(outcomes) - {"conflicting_feedback"}) == 1


def test_feedback_of_another_project_is_unknown(log: ImageLog, log_url: str) -> None:
    one = prediction()
    log.add(one)
    log.record_feedback(one.id, "a")
    other = ImageLog(log_url, "signs", metrics())
    with pytest.raises(HttpError, match="No prediction"):
        other.record_feedback(one.id, "a")
    other.close()
    assert read_predictions(log_url, project="signs") == []
    assert len(read_predictions(log_url, project="digits")) == 1


@pytest.fixture
def hopeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageLog:
    """A log in a place where nothing can be written."""
    monkeypatch.setattr(prediction_log, "FLUSH_TIMEOUT", 0.2)
    monkeypatch.setattr(prediction_log, "RETRY_SECONDS", 0.05)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file, where a folder should be")
    return ImageLog(f"sqlite:///{blocked}/digits.db", "digits", metrics())


def counted(name: str) -> float:
    return float(getattr(metrics(), name)._value.get())


def test_predictions_go_on_when_the_log_cannot_be_written(
    hopeless: ImageLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(prediction_log, "QUEUE_ROWS", (16, 16))
    dropped, failures = counted("log_dropped"), counted("log_failures")
    added = [hopeless.add(prediction(seed)) for seed in range(20)]
    assert added == [True] * 16 + [False] * 4
    seconds_until(lambda: counted("log_failures") > failures + 1, 10)
    hopeless.close()
    assert counted("log_dropped") == dropped + 4
    assert caplog.text.count("cannot be written") == 1, "once for all attempts"
    assert "16 predictions could not be written" in caplog.text


def test_feedback_that_cannot_be_stored_is_not_acknowledged(hopeless: ImageLog) -> None:
    one = prediction()
    hopeless.add(one)
    for id_ in (one.id, new_id(datetime.now(UTC))):
        with pytest.raises(HttpError) as caught:
            hopeless.record_feedback(id_, "a")
        assert caught.value.code == "log_unavailable"
        assert caught.value.headers == {"retry-after": "5"}
    hopeless.close()


def test_the_log_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waited is written once the place can be written again."""
    monkeypatch.setattr(prediction_log, "RETRY_SECONDS", 0.05)
    place = tmp_path / "place"
    place.write_text("in the way")
    url = f"sqlite:///{place}/digits.db"
    log = ImageLog(url, "digits", metrics())
    one = prediction()
    log.add(one)
    time.sleep(0.3)
    place.unlink()
    log.close()
    assert [row["id"] for row in read_predictions(url)] == [one.id]


def test_a_row_that_cannot_be_stored_keeps_no_other_from_it(
    log: ImageLog, log_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite takes NaN for nothing, where there must be a number; each database has its own such things."""
    dropped = counted("log_dropped")
    made = [prediction(seed) for seed in range(5)]
    bad = made[2]._replace(model_version=None)  # type: ignore[arg-type]
    log.add(*made[:2], bad, *made[3:])
    assert log.record_feedback(made[4].id, "a")[1], "it waited for its prediction to be written"
    log.close()
    assert {row["id"] for row in read_predictions(log_url)} == {one.id for one in made} - {bad.id}
    assert counted("log_dropped") == dropped + 1
    assert f"{bad.id} cannot be logged" in caplog.text


@pytest.mark.parametrize("id_", ["\0", "\0" * 32, "0" * 33, "0" * 31, "A" * 32, "", "\u0660" * 32])
def test_no_prediction_has_an_id_that_was_never_given(log: ImageLog, id_: str) -> None:
    with pytest.raises(HttpError) as caught:
        log.record_feedback(id_, "a")
    assert caught.value.code == "unknown_prediction"


def test_large_images_shorten_the_queue(log: ImageLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_log, "QUEUE_BYTES", 784 * 20)
    log.closing = True
    with log.changed:
        log.changed.notify_all()
    log.thread.join()
    assert [log.add(prediction(seed)) for seed in range(21)] == [True] * 20 + [False]
    log.pending.clear()


def test_reading_by_time(log: ImageLog, log_url: str) -> None:
    for hours in range(4):
        log.add(prediction(hours, NOON + timedelta(hours=hours)))
    log.close()
    found = read_predictions(log_url, since=NOON + timedelta(hours=2))
    assert [row["at"] for row in found] == [NOON + timedelta(hours=2), NOON + timedelta(hours=3)]
    assert [row["at"] for row in read_predictions(log_url, last=1)] == [NOON + timedelta(hours=3)]


def test_reading_what_was_never_written(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/none.db"
    assert read_predictions(url) == []
    assert not (tmp_path / "none.db").exists()
    sqlite3.connect(tmp_path / "none.db").close()
    (tmp_path / "none.db").touch()
    assert read_predictions(url) == []
    assert read_recommendations(url) == []
    assert list(read_events(url)) == []


def test_a_log_of_before_there_were_recommendations_is_read_and_written(log_url: str, tmp_path: Path) -> None:
    (tmp_path / "predictions").mkdir()
    old = tables.engine(log_url)
    tables.metadata.create_all(old, tables=[tables.predictions, tables.feedback])
    old.dispose()
    assert list(read_events(log_url)) == []
    log = RecommendationLog(log_url, "shop", metrics())
    log.record_events([Event("new", 1001, "view", NOON)], NOON)
    log.close()
    assert [event["product"] for event in read_events(log_url)] == ["1001"]


def test_recommendations_and_events_by_time(log_url: str) -> None:
    log = RecommendationLog(log_url, "shop", metrics())
    for hours in range(4):
        at = NOON + timedelta(hours=hours)
        answer = Answer((Item(1001 + hours, "MILK", 0.5, "popular"),), "popularity")
        log.add(Recommendation(new_id(at), at, "3", hours, "mixed", answer))
        log.record_events([Event(hours, 1001, "view", NOON - timedelta(days=1))], at)
    log.close()
    two = NOON + timedelta(hours=2)
    assert [row["items"] for row in read_recommendations(log_url, since=two)] == [[1003], [1004]]
    assert [row["items"] for row in read_recommendations(log_url, last=1)] == [[1004]]
    late = list(read_events(log_url, since=two))
    assert [event["at"] for event in late] == [two, two + timedelta(hours=1)]
    assert {event["time"] for event in late} == {NOON - timedelta(days=1)}


def test_where_the_log_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(prediction_log_url.URL_VARIABLE, raising=False)
    assert prediction_log_url.url(Paths(tmp_path, "digits")) == f"sqlite:///{tmp_path}/predictions/digits.db"
    monkeypatch.setenv(prediction_log_url.URL_VARIABLE, "postgresql://db/log")
    assert prediction_log_url.url(Paths(tmp_path, "digits")) == "postgresql://db/log"
    monkeypatch.setenv(prediction_log_url.URL_VARIABLE, "sqlite:///logs/digits.db")
    assert prediction_log_url.url(Paths(tmp_path, "digits")) == f"sqlite:///{tmp_path}/logs/digits.db"


def test_the_log_says_when_it_is_written_again(hopeless: ImageLog, caplog: pytest.LogCaptureFixture) -> None:
    failures = counted("log_failures")
    hopeless.add(prediction())
    seconds_until(lambda: counted("log_failures") > failures, 10)
    assert "written again" not in caplog.text
    Path(hopeless.url.removeprefix("sqlite:///")).parent.unlink()
    hopeless.close()
    assert "The prediction log is written again." in caplog.text
    assert len(read_predictions(hopeless.url, project="digits")) == 1


@pytest.mark.parametrize("said", ["nonsense", "/var/log/predictions.db", "sqlite:/x"])
def test_what_is_no_address_of_a_log_is_told(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(prediction_log_url.URL_VARIABLE, said)
    with pytest.raises(ParameterError, match="FULLCYCLE_PREDICTION_LOG must be the address of a database"):
        prediction_log_url.url(Paths(tmp_path, "digits"))


def test_ids_grow_with_time_and_do_not_repeat() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    ids = [new_id(start + timedelta(milliseconds=i)) for i in range(100)]
    assert ids == sorted(ids)
    assert len({new_id(start) for _ in range(1000)}) == 1000
