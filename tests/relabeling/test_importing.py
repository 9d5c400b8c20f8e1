"""What people decided becomes labels/P.csv, or nothing does."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.paths import Paths
from pipeline.labels import corrections
from pipeline.labels.corrections import Correction
from tests.relabeling.conftest import Labels, name

EARLY, LATE = "2026-03-09T21:52:49.513742Z", "2026-03-09T22:16:08Z"


def annotation(label: str, by: Any = 1, at: str = LATE, *, cancelled: bool = False) -> dict[str, Any]:
    result = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [label]}}
    return {
        "id": 1001,
        "result": [result],
        "was_cancelled": cancelled,
        "ground_truth": False,
        "created_at": EARLY,
        "updated_at": at,
        "lead_time": 4.2,
        "completed_by": by,
    }


def task(item: int, *annotations: dict[str, Any]) -> dict[str, Any]:
    return {"id": item, "data": {"item_id": name(item)}, "annotations": list(annotations), "predictions": []}


def exported(*tasks: Any) -> Path:
    path = Path("export.json")
    path.write_text(json.dumps(tasks))
    return path


def table(text: str) -> Path:
    path = Path("filled.csv")
    path.write_text(text)
    return path


def test_from_export_to_corrections_and_back(labels: Labels, paths: Paths) -> None:
    """Label Studio hands back the tasks it was given, with annotations."""
    assert labels("export", "digits").code == 0
    tasks = json.loads((paths.data / "relabel.json").read_text())
    for one, label in zip(tasks, ("9", "7", "5"), strict=True):
        one |= {"id": 1, "annotations": [annotation(label, {"id": 1, "email": "ben@example.org"})]}
    done = labels("import", "digits", exported(*tasks))
    assert done.code == 0 and "labels/digits.csv: 2 new, 0 changed, 1 confirmed, 0 unchanged" in done.out
    assert "git diff labels" in done.out and "dvc repro" in done.out
    assert paths.corrections.read_text() == (
        "item_id,label,by\n"
        "drawn:train:10,9,ben@example.org\n"
        "drawn:train:11,7,ben@example.org\n"
        "drawn:train:3,5,ben@example.org\n"
    )
    before = paths.corrections.stat().st_mtime_ns
    told = json.loads(labels("import", "digits", "export.json", "--json").out)
    assert (told["new"], told["confirmed"], told["changed"], told["unchanged"]) == (0, 0, 0, 3)
    assert paths.corrections.stat().st_mtime_ns == before  # importing twice writes nothing
    assert "no label waits" in labels("export", "digits").out  # a confirmed label is not queued again


def test_skipped_answers_are_counted_and_the_last_of_a_person_counts(labels: Labels, paths: Paths) -> None:
    path = exported(
        task(10, annotation("3", cancelled=True)),
        task(11),
        task(3, annotation("5", at=LATE), annotation("8", at=EARLY), {"result": [], "completed_by": 1}),
    )
    done = labels("import", "digits", path)
    assert done.code == 0 and "2 answers were skipped or empty" in done.out
    assert corrections.read(paths.corrections) == {name(3): Correction("5", "annotator 1")}


def test_several_people_need_a_majority(labels: Labels, paths: Paths) -> None:
    path = exported(
        task(10, annotation("9", 1), annotation("4", 2)),
        task(11, annotation("1", 1), annotation("7", 2), annotation("1", 3)),
        task(3, annotation("5", 1), annotation("3", 2), annotation("8", 3), annotation("5", 4)),
    )
    told = json.loads(labels("import", "digits", path, "--json").out)
    assert told["disagreements"] == [name(10), name(3)] and told["new"] == 1
    assert corrections.read(paths.corrections) == {name(11): Correction("1", "annotator 1 + annotator 3")}
    assert (
        "2 without a majority, left out: drawn:train:10, drawn:train:3"
        in labels("import", "digits", path).out
    )


def test_json_min(labels: Labels, paths: Paths) -> None:
    path = exported(
        {"item_id": name(10), "image": "…", "label": "9", "annotator": 2, "updated_at": LATE},
        {"item_id": name(11), "image": "…", "annotator": 2, "updated_at": LATE},
    )
    told = json.loads(labels("import", "digits", path, "--json").out)
    assert (told["new"], told["skipped"]) == (1, 1)
    assert corrections.read(paths.corrections) == {name(10): Correction("9", "annotator 2")}


def test_a_table_with_and_without_names(labels: Labels, paths: Paths) -> None:
    assert labels("import", "digits", table(f"item_id,label\n{name(10)},9\n{name(11)},\n")).code == 0
    assert corrections.read(paths.corrections) == {name(10): Correction("9", "Ada")}
    path = table(f"\ufeffitem_id,by,label\n{name(10)},Eve,8\n{name(11)},Eve,7\n")
    done = labels("import", "digits", path, "--by", "The committee")
    assert "0 new, 1 changed, 1 confirmed, 0 unchanged" in done.out
    assert corrections.read(paths.corrections) == {
        name(10): Correction("8", "The committee"),
        name(11): Correction("7", "The committee"),
    }


def test_an_exported_table_can_be_filled_in(labels: Labels, paths: Paths) -> None:
    labels("export", "digits", "--format", "csv")
    head, first, *rest = (paths.data / "relabel.csv").read_text().splitlines()
    filled = table("\n".join([f"{head},label", f"{first},9", *(f"{row}," for row in rest)]))
    told = json.loads(labels("import", "digits", filled, "--json").out)
    assert (told["new"], told["skipped"]) == (1, 2)


def test_columns_that_are_of_no_use_here_may_stay(labels: Labels, paths: Paths) -> None:
    """As in reports/P/evaluation/errors.csv, which people fill in as it is."""
    filled = table(
        f'"item_id","label","confidence","opinion"\n"{name(10)}","9",0.99,"label"\n"{name(11)}","",0.9,""\n'
    )
    told = json.loads(labels("import", "digits", filled, "--json").out)
    assert (told["new"], told["skipped"]) == (1, 1)
    assert corrections.read(paths.corrections) == {name(10): Correction("9", "Ada")}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("item_id,label\nmnist:1,9\n", "line 2: item_id 'mnist:1' is not known. Allowed: those of"),
        ("item_id,label\ndrawn:train:10,x\n", "line 2: label 'x' is no class of digits. Allowed: 0, 1, 2"),
        ("item_id,label\ndrawn:train:10,9\ndrawn:train:10,8\n", "line 3: drawn:train:10 is '8' here and '9'"),
        ("item_id,label\ndrawn:train:10,9,Ada,x\n", "line 2: has more values than there are columns"),
        (
            "item_id;label\ndrawn:train:10;9\n",
            "has no column item_id and no label. Its columns are item_id;label",
        ),
        (
            "item_id,given\n",
            "has no column label. Its columns are item_id, given; item_id and label are needed",
        ),
        ("item_id,label,label\n", "has the column label twice"),
        ("", "the file is empty"),
    ],
)
def test_a_table_with_one_wrong_row_changes_nothing(
    labels: Labels, paths: Paths, text: str, told: str
) -> None:
    corrections.write(paths.corrections, {name(3): Correction("5", "Ada")})
    done = labels("import", "digits", table(text + "drawn:train:11,1\n" if text else ""))
    assert done.code == 3 and "filled.csv" in done.err and told in done.err
    assert corrections.read(paths.corrections) == {name(3): Correction("5", "Ada")}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[{", "not valid JSON"),
        ("[]", "holds an empty list; a list of tasks is needed"),
        ('{"a": 1}', "holds a JSON dict"),
        ("[3]", "task 1: Input should be a valid dictionary"),
        ('[{"data": {"item_id": "drawn:train:10"}}]', "task 1: annotations is missing"),
        ('[{"data": {}, "annotations": []}]', "task 1: data.item_id is missing"),
        (json.dumps([task(10, annotation("ten"))]), "task 1: label 'ten' is no class of digits"),
        (json.dumps([task(99, annotation("1"))]), "task 1: item_id 'drawn:train:99' is not known"),
        (
            json.dumps([task(10, annotation("1") | {"result": [{"from_name": "mood"}]})]),
            "task 1: drawn:train:10 must have one choice of 'label', as in the labeling config; met: none",
        ),
        (json.dumps([task(10, annotation("1", at="yesterday"))]), "task 1: annotations.0.updated_at"),
    ],
)
def test_an_export_that_is_wrong_is_told_and_changes_nothing(
    labels: Labels, paths: Paths, text: str, told: str
) -> None:
    path = Path("export.json")
    path.write_text(text)
    done = labels("import", "digits", path)
    assert done.code == 3 and "export.json" in done.err and told in done.err
    assert not paths.corrections.exists()


def test_many_wrong_rows_are_told_shortly(labels: Labels, paths: Paths) -> None:
    done = labels("import", "digits", table("item_id,label\n" + f"{name(1)},x\n" + "nobody,1\n" * 30))
    assert done.code == 3 and done.err.count("\n") <= 13
    assert "Nothing was written" in done.err


def test_files_that_cannot_be_read_are_told(labels: Labels, paths: Paths) -> None:
    assert "nowhere.csv: cannot be read" in labels("import", "digits", "nowhere.csv").err
    assert "must end in .json or .csv" in labels("import", "digits", "labels.xlsx").err
    Path("latin.csv").write_bytes("item_id,label\n\xe9,1\n".encode("latin-1"))
    done = labels("import", "digits", "latin.csv")
    assert done.code == 3 and "not UTF-8" in done.err
    assert labels("import", "digits", table("item_id,label\n"), "--by", " ").code == 2
    paths.corrections.parent.mkdir(exist_ok=True)
    paths.corrections.write_text("item,label\n")
    done = labels("import", "digits", table(f"item_id,label\n{name(3)},5\n"))
    assert done.code == 3 and "labels/digits.csv: its columns are item, label" in done.err
    (paths.labelled / "labels.parquet").unlink()
    done = labels("import", "digits", "filled.csv")
    assert done.code == 3 and "Run `dvc repro label@digits`" in done.err
