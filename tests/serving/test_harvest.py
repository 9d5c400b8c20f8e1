"""What production captured becomes data: nothing lost, nothing twice, nothing that a person wrote changed."""

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from pipeline.core import artifacts
from pipeline.core.errors import DiskFull, ServiceError
from pipeline.core.paths import Paths
from pipeline.core.serve_parameters import Capture
from pipeline.log import forgetting, prediction_log
from pipeline.tasks.image_classification import harvest
from pipeline.tasks.image_classification.data import pixels
from pipeline.tasks.image_classification.data.formats import captures
from pipeline.tasks.image_classification.source_parameters import InboxImages
from pipeline.tasks.recommendation.data.asking import Answer, Event, Item
from serving.image_log import ImageLog, ImagePrediction
from serving.metrics import metrics
from serving.prediction_log import new_id
from serving.recommendation_log import Recommendation, RecommendationLog
from tests.command_line import Command
from tests.serving.logs import count, written
from tests.serving.synthetic import DIGITS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALL = Capture(share=1, confidence_below=0)
SOURCE = InboxImages(name="inbox", kind="inbox", licence="own", pixels_max=10_000)


@pytest.fixture
def capturing(log_url: str) -> Iterator[ImageLog]:
    made = ImageLog(log_url, "digits", metrics(), ALL)
    yield made
    made.close()


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    return tmp_path / "data/digits/inbox"


def answered(log: ImageLog, count: int, at: datetime = NOW, confidence: float = 0.5) -> list[ImagePrediction]:
    """Predictions of different pictures, in the log."""
    shares = np.full(10, (1 - confidence) / 9, dtype=np.float32)
    shares[3] = confidence
    made = [
        ImagePrediction(
            new_id(at), at, "3", DIGITS, shares, np.full((1, 28, 28), value % 251, dtype=np.uint8)
        )
        for value in range(count)
    ]
    assert log.add(*made)
    written(log)
    return made


def captured(log_url: str, project: str = "digits") -> int:
    return count(log_url, prediction_log.captures, project=project)


def rows(inbox: Path) -> list[dict[str, str]]:
    with (inbox / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# --- what is kept


def test_no_picture_is_kept_where_nobody_asked_for_it(log: ImageLog, log_url: str) -> None:
    answered(log, 50)
    assert captured(log_url) == 0


@pytest.mark.parametrize(
    ("capture", "confidence", "fewest", "most"),
    [
        (Capture(share=1, confidence_below=0), 0.9, 1000, 1000),
        # Of 1,000 at 10 %: 100, within five standard deviations.
        (Capture(share=0.1, confidence_below=0.5), 0.9, 53, 147),
        (Capture(share=0, confidence_below=0.5), 0.9, 0, 0),
        (Capture(share=0, confidence_below=0.91), 0.9, 1000, 1000),
    ],
)
def test_a_random_share_and_all_that_are_less_sure_are_kept(
    log_url: str, capture: Capture, confidence: float, fewest: int, most: int
) -> None:
    log = ImageLog(log_url, "digits", metrics(), capture)
    answered(log, 1000, confidence=confidence)
    log.close()
    assert fewest <= captured(log_url) <= most


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 7, 9)])
def test_a_kept_picture_is_the_one_that_the_network_saw(shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    read = pixels.from_image(Image.open(io.BytesIO(pixels.png(image))), shape[1], shape[2], shape[0])
    np.testing.assert_array_equal(read, image)


# --- pictures


def test_pictures_and_feedback_become_data(
    capturing: ImageLog, log_url: str, inbox: Path, fullcycle: Command
) -> None:
    first, second, third = answered(capturing, 3)
    capturing.record_feedback(second.id, "7")
    code, told, _ = fullcycle("harvest", "digits")
    assert code == 0
    assert "inbox: 3; labelled by feedback: 1." in told and "Waiting for a label: 2;" in told
    assert "dvc repro review@digits" in told
    assert [(row["prediction_id"], row["label"], row["by"]) for row in rows(inbox)] == [
        (first.id, "", ""),
        (second.id, "7", "feedback"),
        (third.id, "", ""),
    ]
    found = captures.listing(inbox, SOURCE, DIGITS)  # what `collect` makes of it
    assert [(picture.label, picture.by, picture.time) for picture in found.pictures] == [(7, "feedback", NOW)]
    assert (found.faults, found.unlabelled) == ([], 2)
    with Image.open(inbox / found.pictures[0].file) as picture:
        np.testing.assert_array_equal(np.asarray(picture), second.image[0])
    assert captured(log_url) == 0


def test_what_was_harvested_is_not_harvested_again(
    capturing: ImageLog, inbox: Path, fullcycle: Command
) -> None:
    (early,) = answered(capturing, 1)
    assert fullcycle("harvest", "digits")[0] == 0
    before = (inbox / "labels.csv").stat().st_mtime_ns
    code, told, _ = fullcycle("harvest", "digits")
    assert code == 0 and "inbox: 0;" in told
    assert (inbox / "labels.csv").stat().st_mtime_ns == before
    capturing.record_feedback(early.id, "1")  # long after its picture was taken
    answered(capturing, 1, NOW + timedelta(days=1))
    _, told, _ = fullcycle("harvest", "digits")
    assert "inbox: 1; labelled by feedback: 1." in told
    assert [row["label"] for row in rows(inbox)] == ["1", ""]


def test_what_people_wrote_stays(capturing: ImageLog, inbox: Path, fullcycle: Command) -> None:
    (one,) = answered(capturing, 1)
    fullcycle("harvest", "digits")
    table = inbox / "labels.csv"
    head, row = table.read_text().splitlines()
    table.write_text(
        f'\ufeff{head},remark\n{row.replace(",,,", ",4,ann,")},"thin, but clear"\nb.png,2,ann,,,\n'
    )
    capturing.record_feedback(one.id, "9")
    answered(capturing, 1)
    fullcycle("harvest", "digits")
    assert [(row["label"], row["by"], row["remark"]) for row in rows(inbox)] == [
        ("4", "ann", "thin, but clear"),
        ("2", "ann", ""),
        ("", "", ""),
    ]


def test_many_pictures_and_those_of_others(
    capturing: ImageLog, log_url: str, inbox: Path, fullcycle: Command
) -> None:
    other = ImageLog(log_url, "signs", metrics(), ALL)
    answered(other, 2)
    other.close()
    made = answered(capturing, 2 * harvest.PART + 1)
    assert fullcycle("harvest", "digits")[0] == 0
    assert {row["prediction_id"] for row in rows(inbox)} == {one.id for one in made}
    assert len(list(inbox.glob("pictures/2026-03-01/*.png"))) == len(made)
    assert captured(log_url) == 0 and captured(log_url, "signs") == 2


class Killed(BaseException):
    """As if the process had been killed there."""


def killed(*_: Any, **__: Any) -> None:
    raise Killed


@pytest.mark.parametrize("at", ["writing a picture", "writing the table", "deleting"])
def test_killed_at_any_moment_nothing_is_lost_or_doubled(
    capturing: ImageLog,
    log_url: str,
    inbox: Path,
    fullcycle: Command,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
) -> None:
    made = answered(capturing, 3)
    with monkeypatch.context() as patched:
        if at == "deleting":
            patched.setattr(forgetting, "forget", killed)
        else:
            patched.setattr(harvest, "write" if at == "writing the table" else "_brought", killed)
        with pytest.raises(Killed):
            fullcycle("harvest", "digits")
    assert captured(log_url) == 3
    assert fullcycle("harvest", "digits")[0] == 0
    assert [row["prediction_id"] for row in rows(inbox)] == [one.id for one in made]
    assert len(list(inbox.glob("pictures/*/*.png"))) == 3 and captured(log_url) == 0


def test_a_full_disk_is_told_and_loses_nothing(
    capturing: ImageLog, log_url: str, fullcycle: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(capturing, 1)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifacts.os, "fsync", full)
    code, _, errors = fullcycle("harvest", "digits")
    assert code == DiskFull.exit_code and "no room is left" in errors
    assert captured(log_url) == 1


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("file,label\n", "no column by, time, prediction_id"),
        ("file,label,by,time,prediction_id\na.png,1,ann,,,one more\n", "row 1 has more than the 5 fields"),
        ('file,label,by,time,prediction_id\n"a.png,1\n', "cannot be read as CSV"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_a_table_that_cannot_be_read_is_left_alone(
    capturing: ImageLog, log_url: str, inbox: Path, fullcycle: Command, table: str | bytes, told: str
) -> None:
    answered(capturing, 1)
    inbox.mkdir(parents=True)
    content = table if isinstance(table, bytes) else table.encode()
    (inbox / "labels.csv").write_bytes(content)
    code, _, errors = fullcycle("harvest", "digits")
    assert code == 3 and told in errors and "labels.csv" in errors
    assert (inbox / "labels.csv").read_bytes() == content and captured(log_url) == 1


def test_without_a_log_or_a_project_it_says_so(fullcycle: Command, log_url: str) -> None:
    code, _, errors = fullcycle("harvest", "digits")
    assert code == 2 and "There is no prediction log" in errors and "digits.db" in errors
    code, _, errors = fullcycle("harvest", "digitz")
    assert code == 2 and "digitz" in errors and "digits, retail" in errors


def test_a_log_that_is_none_is_told(fullcycle: Command, log_url: str) -> None:
    file = prediction_log.sqlite_file(log_url)
    assert file is not None
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no database " * 1000)
    code, _, errors = fullcycle("harvest", "digits")
    assert code == ServiceError.exit_code and "could not be read" in errors and "Traceback" not in errors


def test_it_says_where_nothing_is_captured_or_read(log: ImageLog, tmp_path: Path, fullcycle: Command) -> None:
    answered(log, 1)
    _, told, _ = fullcycle("harvest", "digits")
    assert "serve.capture" in told
    content = yaml.safe_load((tmp_path / "params.yaml").read_text())
    sources = content["projects"]["digits"]["collect"]["sources"]
    content["projects"]["digits"]["collect"]["sources"] = [one for one in sources if one["kind"] != "inbox"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    _, told, _ = fullcycle("harvest", "digits")
    assert "no source of kind inbox" in told


# --- events


@pytest.fixture
def shop_log(log_url: str) -> Iterator[RecommendationLog]:
    made = RecommendationLog(log_url, "retail", metrics())
    yield made
    made.close()


def hear(log: RecommendationLog, customer: str, at: datetime, count: int = 1) -> None:
    log.record_events([Event(customer, 1001, "view", at, 2.0, 1.5)] * count, at)


def events(tmp_path: Path, day: str = "2026-03-01") -> pa.Table:
    return pq.read_table(tmp_path / f"data/retail/inbox/events/{day}.parquet")


def test_events_become_data_once(tmp_path: Path, shop_log: RecommendationLog, fullcycle: Command) -> None:
    hear(shop_log, "5", NOW + timedelta(microseconds=1), 3)
    hear(shop_log, "6", NOW + timedelta(hours=12))  # midnight in UTC: the next day
    code, told, _ = fullcycle("harvest", "retail")
    assert code == 0 and "events: 4, days: 2" in told and "dvc repro review@retail" in told
    assert events(tmp_path)["customer"].to_pylist() == ["5"] * 3
    assert events(tmp_path, "2026-03-02").to_pylist()[0] | {"id": "", "at": None, "time": None} == {
        "id": "", "at": None, "customer": "6", "product": "1001", "kind": "view", "time": None,
        "quantity": 2.0, "value": 1.5, "prediction_id": None,
    }  # fmt: skip
    before = (tmp_path / "data/retail/inbox/events/2026-03-02.parquet").stat().st_mtime_ns
    _, told, _ = fullcycle("harvest", "retail")
    assert "events: 0, days: 0" in told
    assert (tmp_path / "data/retail/inbox/events/2026-03-02.parquet").stat().st_mtime_ns == before
    hear(shop_log, "7", NOW + timedelta(hours=1))  # a day that is not the newest, of a slow transaction
    _, told, _ = fullcycle("harvest", "retail")
    assert "events: 1, days: 1" in told
    assert events(tmp_path)["customer"].to_pylist() == ["5", "5", "5", "7"]


def test_what_the_log_no_longer_has_stays_in_the_inbox(
    tmp_path: Path, log_url: str, shop_log: RecommendationLog, fullcycle: Command
) -> None:
    hear(shop_log, "5", NOW)
    fullcycle("harvest", "retail")
    forgetting.forget(log_url, forgetting.older_than("retail", NOW + timedelta(minutes=1)), compact=False)
    hear(shop_log, "6", NOW + timedelta(hours=1))
    fullcycle("harvest", "retail")
    assert events(tmp_path)["customer"].to_pylist() == ["5", "6"]


def test_a_damaged_day_is_named_and_left_alone(
    tmp_path: Path, shop_log: RecommendationLog, fullcycle: Command
) -> None:
    hear(shop_log, "5", NOW)
    path = tmp_path / "data/retail/inbox/events/2026-03-01.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no parquet")
    code, _, errors = fullcycle("harvest", "retail")
    assert code == 3 and "2026-03-01.parquet" in errors
    assert path.read_bytes() == b"no parquet"


# --- forgetting what was harvested


def test_a_forgotten_picture_leaves_log_and_inbox(
    capturing: ImageLog, log_url: str, inbox: Path, tmp_path: Path, fullcycle: Command
) -> None:
    harvested, kept = answered(capturing, 2)
    fullcycle("harvest", "digits")
    (waiting,) = answered(capturing, 1)
    for one in (harvested, waiting):
        assert fullcycle("forget", "digits", "--prediction", one.id)[0] == 0
    assert captured(log_url) == 0
    assert [row["prediction_id"] for row in rows(inbox)] == [kept.id]
    assert [path.stem for path in inbox.glob("pictures/*/*")] == [kept.id]
    assert Paths(tmp_path, "digits").inbox == inbox


def test_a_forgotten_customer_leaves_log_and_inbox(
    tmp_path: Path, shop_log: RecommendationLog, fullcycle: Command
) -> None:
    hear(shop_log, "5", NOW, 2)
    hear(shop_log, "6", NOW)
    hear(shop_log, "5", NOW + timedelta(days=1))
    answer = Answer((Item(1001, "MILK", 0.5, "often"),), "network")
    for customer in (None, 5):
        shown = Recommendation(new_id(NOW), NOW, "7", customer, "mixed", answer)
        assert shop_log.add(shown)
        shop_log.record_feedback(shown.id, 1001, "cart")
    fullcycle("harvest", "retail")
    code, told, _ = fullcycle("forget", "retail", "--customer", "5")
    assert code == 0 and "inbox: 4" in told
    left: Sequence[Any] = [
        customer
        for path in sorted((tmp_path / "data/retail/inbox/events").glob("*.parquet"))
        for customer in pq.read_table(path)["customer"].to_pylist()
    ]
    assert left == ["6", None]


def test_forgetting_on_a_full_disk_is_told(
    capturing: ImageLog, inbox: Path, fullcycle: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = answered(capturing, 1)
    fullcycle("harvest", "digits")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifacts.os, "fsync", full)
    code, _, errors = fullcycle("forget", "digits", "--prediction", one.id)
    assert code == DiskFull.exit_code and "no room is left" in errors
    assert [row["prediction_id"] for row in rows(inbox)] == [one.id]
