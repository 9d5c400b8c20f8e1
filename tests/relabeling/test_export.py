"""The queue as files for people."""

import base64
import csv
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.core.paths import Paths
from pipeline.labels import corrections
from pipeline.labels.corrections import Correction
from pipeline.relabeling import label_studio, labelled
from pipeline.tasks.image_classification import relabel
from tests import collected_images
from tests.relabeling.conftest import CLASSES, Labels, name


def test_label_studio_gets_pictures_suggestions_and_a_fitting_config(labels: Labels, paths: Paths) -> None:
    done = labels("export", "digits", "--json")
    told = json.loads(done.out)
    assert done.code == 0 and (told["items"], told["decided"]) == (3, 0)
    tasks = json.loads(Path(told["file"]).read_text())
    assert [task["data"]["item_id"] for task in tasks] == [name(10), name(11), name(3)]  # worst first
    picture = tasks[0]["data"]["image"].removeprefix("data:image/png;base64,")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))))
    assert pixels.shape == (28, 28) and pixels[0, 0] == 10
    assert (tasks[0]["data"]["given"], tasks[0]["data"]["suggested"]) == ("4", "9")
    prediction = tasks[0]["predictions"][0]
    assert prediction["model_version"].startswith("label audit ") and prediction["score"] < 0.01
    result = prediction["result"][0]
    assert result["type"] == "choices" and result["value"] == {"choices": ["9"]}
    view = ET.parse(told["config"]).getroot()
    image, choices = view.find("Image"), view.find("Choices")
    assert image is not None and choices is not None
    assert image.get("value") == "$image"
    assert result["to_name"] == image.get("name") == choices.get("toName")
    assert result["from_name"] == choices.get("name")
    assert tuple(choice.get("value") for choice in choices) == CLASSES


def test_a_picture_in_colour_keeps_its_colours(paths: Paths) -> None:
    pixels = np.zeros((1, 3, 8, 9), dtype=np.uint8)
    pixels[0, :, 2, 5] = (250, 120, 10)
    collected_images.write(paths.collected, {"": (pixels, np.array([0]))})
    shown = Image.open(io.BytesIO(relabel.pictures(paths)("drawn:all:0")))
    assert shown.size == (9, 8) and shown.getpixel((5, 2)) == (250, 120, 10)


def test_the_config_takes_classes_of_any_name() -> None:
    view = ET.fromstring(label_studio.config(['a "b" & <c>', "é"]))
    assert [choice.get("value") for choice in view.iter("Choice")] == ['a "b" & <c>', "é"]


def test_csv_has_the_columns_of_the_queue_and_leaves_out_what_is_decided(
    labels: Labels, paths: Paths
) -> None:
    corrections.write(paths.corrections, {name(10): Correction("9", "Ada")})
    done = labels("export", "digits", "--format", "csv", "--out", "sub/worst.csv", "--count", "1")
    assert done.code == 0 and "1 of the queue are decided" in done.out
    with Path("sub/worst.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == labelled.COLUMNS
    assert [(row["item_id"], row["given"], row["suggested"], row["rank"]) for row in rows] == [
        (name(11), "7", "1", "2")
    ]


def test_nothing_is_written_when_nothing_waits(labels: Labels, paths: Paths) -> None:
    everything = {name(item): Correction("1", "Ada") for item in (10, 11, 3)}
    corrections.write(paths.corrections, everything)
    done = labels("export", "digits")
    assert done.code == 0 and "no label waits for a decision; 3 of the queue are decided" in done.out
    assert json.loads(labels("export", "digits", "--json").out)["file"] is None
    assert not (paths.data / "relabel.json").exists()
    assert "no label waits" in labels("review", "digits").out


def test_what_cannot_be_exported_is_told(labels: Labels, paths: Paths) -> None:
    done = labels("export", "retail")
    assert done.code == 2 and "derived from the data" in done.err
    assert done.err.strip().endswith("Projects with labels to correct: digits.")
    done = labels("export", "digit")
    assert done.code == 2 and "did you mean 'digits'?" in done.err
    assert labels("export", "digits", "--count", "0").code == 2
    done = labels("export", "digits", "--out", paths.root)
    assert done.code == 2 and f"--out {paths.root} cannot be written" in done.err
    (paths.labelled / "queue.csv").unlink()
    done = labels("export", "digits")
    assert done.code == 3 and done.err.count("\n") == 1
    assert done.err.strip().endswith("queue.csv: there is no such file yet. Run `dvc repro label@digits`.")


def test_a_queue_of_other_classes_or_other_images_is_told(labels: Labels, paths: Paths) -> None:
    queue = paths.labelled / "queue.csv"
    text = queue.read_text()
    queue.write_text(text.replace('"9"', '"nine"'))
    done = labels("export", "digits")
    assert done.code == 3 and "has the label 'nine'" in done.err and "0, 1, 2" in done.err
    queue.write_text(text.replace("drawn:train:11", "drawn:train:99"))
    done = labels("export", "digits")
    assert done.code == 3 and "drawn:train:99 is not there" in done.err
    assert not (paths.data / "relabel.json").exists()
    (paths.collected / "images.npy").unlink()
    assert "images.npy: there is no such file" in labels("export", "digits").err
