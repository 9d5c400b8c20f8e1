"""The inbox of an image project: captured pictures become rows once a person has said what they show."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc
import pytest

from pipeline.core.artifacts import sha256_of_folder
from pipeline.core.errors import SourceError
from pipeline.tasks.image_classification.data import items
from tests.image_classification.picture_folder import collected, picture, source, write

INBOX = {"name": "inbox", "kind": "inbox", "licence": "own", "pixels_max": 10_000}
HEADER = "file,label,by,time,prediction_id"


def capture(root: Path, *rows: str) -> None:
    """Adds rows to the inbox's table, and the pictures that they name."""
    inbox = root / "data/squares/inbox"
    (inbox / "pictures").mkdir(parents=True, exist_ok=True)
    table = inbox / "labels.csv"
    before = table.read_text() if table.exists() else HEADER + "\n"
    table.write_text(before + "".join(f"{row}\n" for row in rows))
    for number, row in enumerate(rows):
        name = row.partition(",")[0]
        if name.startswith("pictures/") and not (inbox / name).exists():
            picture(number % 2, 900 + number).save(inbox / name)


def rows(folder: Path) -> list[dict]:
    table = items.read(folder)[0]
    found: list[dict] = table.filter(pc.equal(table["source"], "inbox")).to_pylist()
    return found


def test_an_empty_inbox_adds_nothing(tmp_path: Path) -> None:
    write(tmp_path / "pictures", 3)
    without, _ = collected(tmp_path)
    with_, found = collected(tmp_path, source(), INBOX, to="with")
    for name in ("items.parquet", "images.npy", "faults.csv"):
        assert (without / name).read_bytes() == (with_ / name).read_bytes()
    assert found.metrics["unlabelled"] == 0 and all(gate.passed for gate in found.gates)


def test_captures_become_rows_that_say_when_and_by_whom(tmp_path: Path) -> None:
    write(tmp_path / "pictures", 3)
    capture(
        tmp_path,
        "pictures/b.png,light,ann,2026-03-01T18:30:00+01:00,01",
        "pictures/a.png,dark,feedback,2026-03-02T08:00:00.250Z,02",
        "pictures/c.png,,,2026-03-02T09:00:00Z,03",
    )
    folder, found = collected(tmp_path, source(), INBOX)
    told = [(row["item_id"], row["label"], row["labelled_by"], row["time"]) for row in rows(folder)]
    assert told == [
        ("inbox:pictures/a.png", 0, "feedback", datetime(2026, 3, 2, 8, 0, 0, 250_000, UTC)),
        ("inbox:pictures/b.png", 1, "ann", datetime(2026, 3, 1, 17, 30, tzinfo=UTC)),
    ]
    assert found.metrics["unlabelled"] == 1 and found.metrics["faulty_files"] == 0
    assert "1 captured pictures wait for a label" in found.summary
    drawn, inbox = json.loads((folder / "provenance.json").read_text())["sources"]
    assert (drawn["captured"], drawn["unlabelled"]) == (None, 0)
    assert inbox["captured"] == ["2026-03-01T17:30:00+00:00", "2026-03-02T08:00:00.250000+00:00"]
    assert (inbox["unlabelled"], inbox["licence"], inbox["parts"]) == (1, "own", {"all": 2})
    assert inbox["sha256"] == sha256_of_folder(tmp_path / "data/squares/inbox")


def test_collecting_twice_changes_nothing_and_a_further_capture_adds_a_row(tmp_path: Path) -> None:
    write(tmp_path / "pictures", 3)
    capture(tmp_path, "pictures/b.png,light,ann,2026-03-01T18:30:00Z,01")
    first, _ = collected(tmp_path, source(), INBOX)
    again, _ = collected(tmp_path, source(), INBOX, to="again")
    assert sha256_of_folder(first) == sha256_of_folder(again)
    capture(tmp_path, "pictures/c.png,dark,ann,2026-03-03T18:30:00Z,02")
    more, _ = collected(tmp_path, source(), INBOX, to="more")
    old, new = items.read(first)[0], items.read(more)[0]
    assert new.slice(0, old.num_rows).equals(old) and new.num_rows == old.num_rows + 1


def test_what_cannot_be_a_row_is_named(tmp_path: Path) -> None:
    write(tmp_path / "pictures", 3)
    when = "2026-03-01T18:30:00Z"
    capture(
        tmp_path,
        f"pictures/a.png,light,ann,{when},1",
        f"pictures/a.png,dark,bob,{when},1",
        f"pictures/b.png,light,,{when},2",
        f"pictures/c.png,frog,ann,{when},3",
        "pictures/d.png,light,ann,2026-03-01 18:30,4",
        f"none.png,light,ann,{when},5",
        f"../../../pictures/dark/001.png,dark,ann,{when},6",
        f"labels.csv,dark,ann,{when},7",
    )
    folder, found = collected(tmp_path, source(), INBOX)
    with (folder / "faults.csv").open(newline="") as file:
        told = [(row["item"], row["what"], row["where"]) for row in csv.DictReader(file)]
    assert told == [
        ("pictures/a.png", "was named before; of several rows the first counts", "inbox, labels.csv row 2"),
        ("pictures/b.png", "label 'light' was said by nobody", "inbox, labels.csv row 3"),
        ("pictures/c.png", "label 'frog' is not among collect.classes", "inbox, labels.csv row 4"),
        (
            "pictures/d.png",
            "time '2026-03-01 18:30' is none with a time zone, such as 2026-03-01T18:30:00+00:00",
            "inbox, labels.csv row 5",
        ),
        ("none.png", "no such file", "inbox, labels.csv row 6"),
        ("../../../pictures/dark/001.png", "leads outside the folder", "inbox, labels.csv row 7"),
        ("labels.csv", "is neither PNG nor JPEG", "inbox"),
    ]
    assert [row["file"] for row in rows(folder)] == ["pictures/a.png"]
    assert [gate.name for gate in found.gates if not gate.passed] == ["faulty_files_share"]


def test_a_table_without_a_column_is_told(tmp_path: Path) -> None:
    write(tmp_path / "pictures", 3)
    capture(tmp_path)
    (tmp_path / "data/squares/inbox/labels.csv").write_text("file,label\n")
    with pytest.raises(SourceError, match=r"labels\.csv: no column 'by', 'time', 'prediction_id'; inbox"):
        collected(tmp_path, source(), INBOX)
