"""Pictures in folders: read whole and always alike, and what cannot be used is named."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageFile

from pipeline.core import parameters
from pipeline.core.artifacts import sha256_of_folder
from pipeline.core.errors import ParameterError, SourceError
from pipeline.tasks.image_classification.data import items, pixels
from pipeline.tasks.image_classification.data.decoding import BATCH
from tests.image_classification.picture_folder import (
    CLASSES,
    bomb,
    collected,
    picture,
    source,
    table_source,
    write,
)
from tests.imports import ROOT


def faults(folder: Path) -> dict[str, str]:
    with (folder / "faults.csv").open(newline="") as file:
        return {row["item"]: row["what"] for row in csv.DictReader(file)}


def ids(folder: Path) -> list[str]:
    return items.read(folder)[0]["item_id"].to_pylist()


def test_every_picture_becomes_a_row_that_says_where_it_came_from(tmp_path: Path) -> None:
    write(tmp_path / "pictures", 5)
    folder, found = collected(tmp_path)
    table, images = items.read(folder)
    assert images.shape == (10, 3, 16, 16) and images.dtype == np.uint8
    row = table.slice(7, 1).to_pylist()[0]
    assert row["item_id"] == "drawn:light/002.jpg" and row["file"] == "light/002.jpg"
    assert (row["source"], row["part"], row["source_index"], row["label"]) == ("drawn", "", 7, 1)
    with Image.open(tmp_path / "pictures/light/002.jpg") as drawn:
        assert np.array_equal(images[7], pixels.from_image(drawn, 16, 16, 3))
    assert all(gate.passed for gate in found.gates) and faults(folder) == {}
    origin = json.loads((folder / "provenance.json").read_text())
    assert origin["items_per_class"] == {"dark": 5, "light": 5}
    assert origin["sources"][0]["sha256"] == sha256_of_folder(tmp_path / "pictures")
    assert (origin["sources"][0]["licence"], origin["sources"][0]["path"]) == ("own", "pictures")


def test_the_array_is_what_numpy_writes(tmp_path: Path) -> None:
    write(tmp_path / "pictures", 5)
    folder, _ = collected(tmp_path)
    np.save(tmp_path / "again.npy", np.load(folder / items.PIXELS))
    assert (tmp_path / "again.npy").read_bytes() == (folder / items.PIXELS).read_bytes()


def test_collecting_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "pictures", BATCH // 2 + 3)
    bomb(tmp_path / "pictures/dark/bomb.png")
    (tmp_path / "pictures/dark/cut.png").write_bytes((tmp_path / "pictures/dark/001.png").read_bytes()[:60])
    first, found = collected(tmp_path)
    second, _ = collected(tmp_path, to="again")
    assert sha256_of_folder(first) == sha256_of_folder(second)
    assert found.metrics["items"] == BATCH + 6


def test_added_pictures_add_rows_and_rename_none(tmp_path: Path) -> None:
    write(tmp_path / "pictures", 4, first=10)
    before, _ = collected(tmp_path)
    write(tmp_path / "pictures", 3, first=0)
    after, _ = collected(tmp_path, to="after")
    assert set(ids(before)) < set(ids(after)) and len(ids(after)) == 14
    table, images = items.read(after)
    old_table, old_images = items.read(before)
    place = {name: i for i, name in enumerate(table["item_id"].to_pylist())}
    rows = [place[name] for name in ids(before)]
    assert np.array_equal(images[rows], old_images)
    assert table["content"].take(rows) == old_table["content"]


def test_every_fault_is_named_and_left_out(tmp_path: Path) -> None:
    root = write(tmp_path / "pictures", 3)
    (root / "dark/notes.txt").write_text("no picture")
    picture(0, 1).save(root / "dark/moving.gif")
    (root / "dark/empty.png").write_bytes(b"")
    (root / "dark/cut.jpg").write_bytes((root / "dark/000.jpg").read_bytes()[:400])
    (root / "lost.png").write_bytes((root / "dark/001.png").read_bytes())
    (root / "frogs").mkdir()
    picture(0, 2).save(root / "frogs/1.png")
    Image.new("L", (200, 100)).save(root / "light/large.png")
    bomb(root / "light/bomb.png")
    picture(0, 3).save(tmp_path / "outside.png")
    (root / "dark/away.png").symlink_to(tmp_path / "outside.png")
    (root / "dark/within.png").symlink_to(root / "dark/001.png")
    (root / "dark/nowhere.png").symlink_to(root / "dark/none.png")
    (root / "light/folder").symlink_to(tmp_path)
    (root / "dark/.DS_Store").write_text("")
    (root / "dark/Thumbs.db").write_text("")
    folder, found = collected(tmp_path)
    told = faults(folder)
    assert {name: what for name, what in told.items() if name.startswith("dark")} == {
        "dark/away.png": "is a link that leads outside the folder",
        "dark/cut.jpg": told["dark/cut.jpg"],
        "dark/empty.png": "is neither PNG nor JPEG",
        "dark/moving.gif": "is neither PNG nor JPEG",
        "dark/notes.txt": "is neither PNG nor JPEG",
        "dark/nowhere.png": "no such file",
    }
    assert "is damaged" in told["dark/cut.jpg"] and str(tmp_path) not in told["dark/cut.jpg"]
    assert told["frogs/1.png"] == "its folder 'frogs' is not among collect.classes"
    assert told["lost.png"] == "stands in no class's folder"
    assert told["light/folder"] == "is a link that leads outside the folder"
    assert "20,000 pixels, more than the 10,000 of pixels_max" in told["light/large.png"]
    assert "pixels_max; it was not decoded" in told["light/bomb.png"]
    assert len(told) == 11 and found.metrics["items"] == 7 and "drawn:dark/within.png" in ids(folder)
    (gate,) = [gate for gate in found.gates if not gate.passed]
    assert gate.name == "faulty_files_share" and gate.value == 11 / 18
    assert "data/squares/collected/faults.csv" in gate.remedy


def test_too_many_pixels_are_refused_before_any_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(tmp_path / "pictures", 1)
    Image.new("L", (101, 100)).save(root / "dark/large.png")
    bomb(root / "dark/bomb.png")
    bomb(root / "dark/warned.png", side=10_000)  # Pillow warns, it does not refuse
    decoded: list[str] = []
    load = ImageFile.ImageFile.load

    def noted(image: ImageFile.ImageFile) -> object:
        decoded.append(str(image.size))
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", noted)
    folder, _ = collected(tmp_path)
    assert set(faults(folder)) == {"dark/large.png", "dark/bomb.png", "dark/warned.png"}
    assert set(decoded) == {"(24, 20)"}


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    root = write(tmp_path / "pictures", 1)
    os.mkfifo(root / "dark/pipe.png")
    folder, _ = collected(tmp_path)
    assert faults(folder) == {"dark/pipe.png": "is no file"}


def test_names_that_are_no_text_are_faults_too(tmp_path: Path) -> None:
    root = write(tmp_path / "pictures", 1)
    (root / "dark" / "caf\udce9.png").write_bytes((root / "dark/000.jpg").read_bytes())
    folder, _ = collected(tmp_path, source(path="pictures"))
    assert faults(folder) == {"dark/caf\\udce9.png": "its name is not UTF-8; rename it"}


def test_classes_without_pictures_stop_the_run(tmp_path: Path) -> None:
    root = write(tmp_path / "pictures", 2)
    for file in (root / "light").iterdir():
        file.write_bytes(b"spoilt")
    with pytest.raises(SourceError, match="no image of 'light', though") as told:
        collected(tmp_path)
    assert "images of one class only, 'dark'" in str(told.value)
    assert "light/000.jpg (drawn): is neither PNG nor JPEG" in str(told.value)


def test_grey_colour_and_turned_pictures(tmp_path: Path) -> None:
    root = write(tmp_path / "pictures", 1, mode="L", size=(12, 30))
    turned = Image.new("RGB", (40, 20), (0, 0, 0))
    turned.paste((255, 255, 255), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned a quarter clockwise
    turned.save(root / "dark/turned.png", exif=exif)
    folder, _ = collected(tmp_path)
    table, images = items.read(folder)
    image = images[table["file"].to_pylist().index("dark/turned.png")]
    assert image[0, :4, 6:10].mean() > 250 and image[0, -4:, 6:10].mean() < 5
    assert collected(tmp_path, to="grey", channels=1)[1].metrics["items"] == 3
    assert items.read(tmp_path / "grey")[1].shape == (3, 1, 16, 16)


def labels(root: Path, *rows: str, header: str = "path,class,part,patient") -> None:
    (root / "labels.csv").write_text("\n".join([header, *rows, ""]))


COLUMNS = {"file": "path", "label": "class", "part": "part", "group": "patient"}


def test_a_table_says_label_part_and_group(tmp_path: Path) -> None:
    root = write(tmp_path / "pictures", 3)
    labels(
        root,
        "dark/000.jpg,dark,,p1",
        "light/001.png,light,test,p2",
        "./dark/001.png,dark,train,",
        "light/000.jpg,light,,",
    )
    folder, _ = collected(tmp_path, table_source(columns=COLUMNS))
    rows = items.read(folder)[0].select(["item_id", "part", "group", "label", "source_index"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("drawn:dark/000.jpg", "", "p1", 0, 0),
        ("drawn:light/000.jpg", "", "", 1, 1),
        ("drawn:light/001.png", "test", "p2", 1, 0),
        ("drawn:dark/001.png", "train", "", 0, 0),
    ]
    assert faults(folder) == {}


def test_bad_rows_of_a_table_are_named(tmp_path: Path) -> None:
    root = write(tmp_path / "pictures", 3)
    picture(0, 3).save(tmp_path / "outside.png")
    labels(
        root, "dark/000.jpg,dark,,", "light/000.jpg,light,,", "dark/000.jpg,light,,", "none.png,dark,,",
        "../outside.png,dark,,", f"{tmp_path}/outside.png,dark,,", "light/001.png,frog,,",
        "light/002.jpg,light,dev,", ",dark,,", "dark/001.png,,,",
    )  # fmt: skip
    folder, _ = collected(tmp_path, table_source(columns=COLUMNS))
    with (folder / "faults.csv").open(newline="") as file:
        told = [(row["where"].rpartition(" ")[2], row["what"]) for row in csv.DictReader(file)]
    assert told == [
        ("3", "was named before; of several rows the first counts"),
        ("4", "no such file"),
        ("5", "leads outside the folder"),
        ("6", "leads outside the folder"),
        ("7", "label 'frog' is not among collect.classes"),
        ("8", "part 'dev' is neither train nor test nor empty"),
        ("9", "names no file"),
        ("10", "label '' is not among collect.classes"),
    ]
    assert ids(folder) == ["drawn:dark/000.jpg", "drawn:light/000.jpg"]


def test_tables_that_cannot_be_used(tmp_path: Path) -> None:
    root = write(tmp_path / "pictures", 1)
    for content, told in (
        ("path,label\n", "no column 'class'; .* There are: path, label"),
        ("", "cannot be read as a table"),
    ):
        (root / "labels.csv").write_text(content)
        with pytest.raises(SourceError, match=told):
            collected(tmp_path, table_source(), to=f"t{len(content)}")
    with pytest.raises(SourceError, match=r"labels ../labels.csv: leads outside the folder"):
        collected(tmp_path, table_source(labels="../labels.csv"))


def test_labels_that_look_like_numbers_stay_text(tmp_path: Path) -> None:
    from pipeline.tasks.image_classification.data.formats import table
    from pipeline.tasks.image_classification.source_parameters import FolderWithTable

    root = write(tmp_path / "pictures", 1)
    labels(root, "dark/000.jpg,01", "light/000.jpg,1", header="path,class")
    found = table.listing(root, FolderWithTable.model_validate(table_source()), ["1", "01"])
    assert [(p.file, p.label) for p in found.pictures] == [("dark/000.jpg", 1), ("light/000.jpg", 0)]
    assert CLASSES == ("dark", "light")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"pixels_max": 0}, r"collect\.sources\.0\.pixels_max: 0 is not allowed"),
        ({"sha256": "x"}, r"collect\.sources\.0\.sha256: 'x' is not allowed"),
        ({"labels": "a.xlsx"}, r"collect\.sources\.0\.labels: 'a\.xlsx' is not allowed"),
        ({"columns": {"file": "a"}}, r"collect\.sources\.0\.columns\.label: missing"),
        ({"idx_md5": {}}, r"collect\.sources\.0\.idx_md5: unknown key"),
        ({"kind": "ftp"}, "kind"),
    ],
)
def test_a_wrong_key_of_a_source_is_told_by_its_place(
    tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["projects"]["digits"]["collect"]["sources"] = [table_source(**changed)]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ParameterError, match=told):
        parameters.load(tmp_path / "params.yaml", "digits")
