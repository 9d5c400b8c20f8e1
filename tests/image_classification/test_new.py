"""`fullcycle new --images`: a user's own pictures become a project, or the user is told what is wrong."""

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline.core import expectations
from pipeline.core.artifacts import read_json, sha256_of_folder
from pipeline.core.parameters import load
from pipeline.core.paths import Paths
from pipeline.tasks.image_classification import collect, label, prepare, validate
from pipeline.tasks.image_classification.new_pictures import look
from tests.command_line import fullcycle
from tests.image_classification.picture_folder import picture, write
from tests.imports import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def new(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return fullcycle(folder, "new", *words)


def section(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "params.yaml").read_text())["projects"][name]
    return found


@pytest.mark.filterwarnings("ignore")
def test_a_folder_becomes_a_project_whose_data_stages_run(folder: Path) -> None:
    before = (folder / "params.yaml").read_text()
    write(folder / "pictures", 60, size=(41, 38))
    write(folder / "pictures", 10, size=(30, 40), first=60)
    (folder / "pictures/dark/notes.txt").write_text("no picture")
    done = new(folder, "squares", "--images", "pictures", "--licence", "CC0-1.0")
    assert done.returncode == 0, done.stderr
    assert (
        "140 pictures of 2 classes, 70 of the rarest; 30 to 41 x 38 to 40 pixels, read as 40 x 40"
        in done.stdout
    )
    assert "in colour" in done.stdout and "Left out: dark/notes.txt: is neither PNG nor JPEG" in done.stdout
    text = (folder / "params.yaml").read_text()
    assert text.startswith(before.rstrip("\n")) and "# GiB, peak of any stage" in text[len(before) :]
    declared = load(folder / "params.yaml", "squares")
    names = ("plan", "collect", "label", "validate", "prepare")
    params = SimpleNamespace(**{name: declared.section(name) for name in names})
    # Squares are learnt in fewer steps than pictures may need.
    recipe = params.label.recipe.model_copy(update={"epochs": 15})
    params.label = params.label.model_copy(update={"recipe": recipe})
    made, shipped = section(folder, "squares"), section(folder, "digits")
    assert list(made) == list(shipped) and made["goals"] == shipped["goals"]
    assert made["collect"]["classes"] == ["dark", "light"]
    assert made["collect"]["image"] == {"height": 40, "width": 40, "channels": 3}
    assert made["collect"]["sources"][0]["path"] == "pictures"
    assert made["collect"]["sources"][0]["sha256"] == sha256_of_folder(folder / "pictures")
    assert (made["plan"]["min_items"], made["plan"]["min_items_per_class"]) == (112, 56)
    assert made["plan"]["expected"]["bytes_per_item"] == 40 * 40 * 3
    assert made["train"]["network"]["stem_padding"] == 2  # their border is not empty as a digit's is
    assert made["plan"]["allowed_licences"] == ["CC0-1.0"] and made["prepare"]["test_share"] == 0.2

    paths = Paths(folder, "squares")
    for place in (paths.collected, paths.labelled, paths.prepared, folder / "validation"):
        place.mkdir(parents=True)
    assert all(gate.passed for gate in collect.collect(params, paths, paths.collected).gates)
    label.label(params, paths, paths.labelled)
    examined = validate.validate(params, paths, folder / "validation")
    outcomes, _ = expectations.check("squares", examined.tables, folder / "validation" / "docs")
    assert [str(outcome) for outcome in outcomes if not outcome.met] == []
    assert [str(gate) for found in examined.findings for gate in found.gates if not gate.passed] == []
    prepare.prepare(params.prepare, paths.collected, paths.labelled, paths.prepared)
    sizes = read_json(paths.prepared / "sizes.json")
    assert (
        made["plan"]["expected"]["test_items"]
        == sizes["test"]
        == len(np.load(paths.prepared / "test/ids.npy"))
    )
    assert max(made["forecast"]["train_sizes"]) <= sizes["train"] == made["ablate"]["images"]
    assert f"{sizes['train']} to learn from, {sizes['val']} to choose by" in done.stdout


def test_what_cannot_become_a_project_changes_nothing(folder: Path) -> None:
    before = (folder / "params.yaml").read_text()
    (folder / "one/cats").mkdir(parents=True)
    write(folder / "few", 3)
    write(folder / "spoilt", 3)
    for file in (folder / "spoilt").glob("*/*"):
        file.write_bytes(b"spoilt")
    for place, code, told in (
        ("none", 3, "none: no such folder"),
        ("one", 2, "one: has 1 folder(s): cats; at least two are needed"),
        ("few", 2, "the rarest class has 3 usable pictures, but at least 20 are needed"),
        ("spoilt", 3, "none of its 6 files is a PNG or JPEG picture"),
    ):
        done = new(folder, "mine", "--images", place)
        assert done.returncode == code and told in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert (folder / "params.yaml").read_text() == before


def test_the_option_says_which_task_it_is(folder: Path) -> None:
    write(folder / "pictures", 1)
    done = new(folder, "mine", "--images", "pictures", "--like", "retail")
    assert done.returncode == 2 and "--images makes a project of the task image_classification" in done.stderr
    done = new(folder, "mine", "--images", "pictures", "--events", "shop.csv")
    assert done.returncode == 2 and "not allowed with argument" in done.stderr
    done = new(folder, "mine")
    assert done.returncode == 2 and "one of the arguments" in done.stderr


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(28, 28), (28, 28)], (28, 28)),
        ([(64, 20), (64, 20)], (20, 64)),
        ([(12, 12), (12, 12)], (32, 32)),
        ([(500, 300), (400, 300)], (96, 96)),
        ([(50, 40), (52, 40), (70, 90)], (48, 48)),
    ],
)
def test_the_size_fits_what_is_there(
    tmp_path: Path, sizes: list[tuple[int, int]], expected: tuple[int, int]
) -> None:
    for i, size in enumerate(sizes):
        picture(0, i, size, "L").save(tmp_path / f"{i}.png")
    seen = look(tmp_path, 10**6)
    assert (seen.height, seen.width, seen.channels) == (*expected, 1)


def test_grey_pictures_stored_in_colour_are_grey(tmp_path: Path) -> None:
    for i in range(3):
        picture(0, i, mode="L").convert("RGB").save(tmp_path / f"{i}.png")
    assert look(tmp_path, 10**6).channels == 1
    Image.new("RGB", (24, 20), (10, 20, 30)).save(tmp_path / "coloured.png")
    assert look(tmp_path, 10**6).channels == 3
