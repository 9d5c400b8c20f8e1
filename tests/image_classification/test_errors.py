"""The errors are listed with the audit's opinion, the worst first, and can go to `fullcycle labels`."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from PIL import Image

from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.testing import contact_sheet, errors
from pipeline.tasks.image_classification.testing.answers import Answers
from pipeline.tasks.image_classification.testing.contact_sheet import Cell, Line

CLASSES = ("ant", "bee", "cow")


def listed(folder: Path, labels: list[int], predicted: list[int], worst: int = 8) -> dict:
    """Answers of confidence 0.5, 0.6, ...; the audit doubts item-2 and suggests 2 for it and for item-3."""
    count = len(labels)
    confidence = 0.5 + np.arange(count) / 10
    probabilities = np.repeat((1 - confidence)[:, None] / 2, 3, axis=1)
    probabilities[np.arange(count), predicted] = confidence
    pixels = np.random.default_rng(0).integers(0, 255, (count, 1, 9, 9)).astype(np.uint8)
    ids = np.array([f"item-{k}" for k in range(count)])
    order = np.arange(count)[::-1]  # the audit knows them in another order
    suggested = np.array(labels)
    suggested[2:4] = 2
    audit = {
        "item_id": ids[order].tolist(),
        "suggested": suggested[order],
        "score": np.linspace(0, 1, count)[order],
        "doubtful": (np.arange(count) == 2)[order],
    }
    pq.write_table(pa.table(audit), folder / "labels.parquet")
    answers = Answers(np.array(labels), probabilities, probabilities)
    part = errors.measure(answers, Split(pixels, np.array(labels), ids), CLASSES, folder, worst, folder)
    return dict(part.details)


def test_errors_come_worst_first_with_what_the_audit_says(tmp_path: Path) -> None:
    told = listed(tmp_path, [0, 0, 0, 0, 1], [0, 1, 2, 1, 0])
    table = pacsv.read_csv(tmp_path / "errors.csv").to_pydict()
    assert table["item_id"] == ["item-4", "item-3", "item-2", "item-1"]
    assert table["opinion"] == ["network", "undecided", "label", "network"]
    assert table["given"] == ["bee", "ant", "ant", "ant"]
    assert table["predicted"] == ["ant", "bee", "cow", "bee"]
    assert table["suggested"] == ["bee", "cow", "cow", "ant"]
    assert table["score"] == [1.0, 0.75, 0.5, 0.25]
    assert json.loads((tmp_path / "errors.json").read_text())[0]["item_id"] == "item-4"
    assert told["errors"] == {"count": 4, "network": 2, "label": 1, "undecided": 1}
    assert told["accuracy_without_doubtful"]["items"] == 4
    assert told["accuracy_without_doubtful"]["value"] == 0.25
    assert (tmp_path / "errors.png").is_file()


def test_the_table_has_a_column_for_what_a_person_decides(tmp_path: Path) -> None:
    listed(tmp_path, [0, 0, 0, 0], [0, 1, 2, 1])
    lines = (tmp_path / "errors.csv").read_text().splitlines()
    assert lines[0].replace('"', "").startswith("item_id,label,")


def test_no_errors_leave_an_empty_table_and_a_picture_that_says_so(tmp_path: Path) -> None:
    told = listed(tmp_path, [0, 1, 2, 0], [0, 1, 2, 0])
    assert told["errors"]["count"] == 0
    assert pacsv.read_csv(tmp_path / "errors.csv").num_rows == 0
    assert (tmp_path / "errors.png").is_file()


def test_a_sheet_shows_each_image_whole_also_in_colour_and_with_long_names(tmp_path: Path) -> None:
    colours = np.array([[200, 30, 90], [20, 160, 60], [40, 90, 210]], dtype=np.uint8)
    images = [np.broadcast_to(colour[:, None, None], (3, 12, 18)) for colour in colours]
    name = "a name that is much longer than its picture is wide"
    cells = [Cell(image, name, "", "black") for image in images]
    lines = [Line("both", cells[:2]), Line("the third", cells[2:])]
    contact_sheet.draw(lines, "three", {"black": "frames"}, tmp_path / "sheet.png")
    drawn = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).reshape(-1, 3)
    areas = [int((drawn == colour).all(1).sum()) for colour in colours]
    assert min(areas) > 5000 and max(areas) < 1.1 * min(areas)
