"""Expectations hold for sound images, and each violation stops the run and says where it is."""

import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline import validate as stage
from pipeline.core.artifacts import read_json, write_json
from pipeline.core.errors import SourceError
from pipeline.core.parameters import load
from pipeline.core.paths import Paths
from pipeline.core.stage import Context, Evidence
from pipeline.core.tracking import StageRun
from pipeline.tasks.image_classification.data import items, pictures
from tests import collected_images, synthetic_digits

pytestmark = pytest.mark.filterwarnings("ignore")
TRAIN, TEST = 500, 200


@dataclass
class Images:
    """A project's collected and labelled images, to be spoilt."""

    paths: Paths

    def change(self, *keys: str, to: object) -> None:
        path = self.paths.root / "params.yaml"
        content = yaml.safe_load(path.read_text())
        section = content["projects"]["digits"]
        for key in keys[:-1]:
            section = section[key]
        section[keys[-1]] = to
        path.write_text(yaml.safe_dump(content))

    def edit(self, file: str, change: Callable[[pa.Table], pa.Table]) -> None:
        path = self.paths.data / file
        pq.write_table(change(pq.read_table(path)), path)

    def set(self, file: str, column: str, row: int, value: object) -> None:
        def spoilt(table: pa.Table) -> pa.Table:
            values = table[column].to_pylist()
            values[row] = value
            place = table.schema.get_field_index(column)
            return table.set_column(place, column, pa.array(values, table.schema.field(column).type))

        self.edit(file, spoilt)

    def paint(self, changes: dict[int, np.ndarray], collected: bool = True) -> None:
        """Other pixels for some rows; collected: as if the source had them."""
        path = self.paths.collected / items.PIXELS
        pixels = np.load(path)
        for row, image in changes.items():
            pixels[row] = image
            if collected:
                self.set("collected/items.parquet", "content", row, items.content(pixels[row]))
        np.save(path, pixels)

    @property
    def pixels(self) -> np.ndarray:
        return np.load(self.paths.collected / items.PIXELS)

    def validate(self) -> Evidence:
        parameters = load(self.paths.root / "params.yaml", "digits")
        shown = SimpleNamespace(**{name: parameters.section(name) for name in stage.PARAMS})
        run = StageRun(self.paths, "validate", time.time())
        return stage.run(Context("validate", self.paths, parameters.task, shown, run))


@pytest.fixture(scope="module")
def sound(small_parameters: tuple[dict[str, Any], Path], tmp_path_factory: pytest.TempPathFactory) -> Images:
    root = tmp_path_factory.mktemp("images")
    (root / "params.yaml").write_text(yaml.safe_dump(small_parameters[0]))
    images = Images(Paths(root, "digits"))
    rng = np.random.default_rng(0)
    parts = {}
    for part, count in (("train", TRAIN), ("test", TEST)):
        labels = np.arange(count) % 10
        parts[part] = (synthetic_digits.draw(labels, rng)[:, None], labels)
    images.paths.collected.mkdir(parents=True)
    images.paths.labelled.mkdir()
    collected_images.write(images.paths.collected, parts)
    table, _ = items.read(images.paths.collected)
    source = {"name": "drawn", "licence": "CC0-1.0"}
    write_json(images.paths.collected / "provenance.json", {"sources": [source]})
    labelled = pa.table(
        {
            "item_id": table["item_id"],
            "label": table["label"],
            "doubtful": np.zeros(table.num_rows, dtype=bool),
        }
    )
    pq.write_table(labelled, images.paths.labelled / "labels.parquet")
    images.change("validate", "planted", to=40)
    return images


@pytest.fixture
def images(sound: Images, tmp_path: Path) -> Images:
    shutil.copytree(sound.paths.root, tmp_path / "copy")
    return Images(Paths(tmp_path / "copy", "digits"))


def test_sound_images_meet_all_expectations(images: Images) -> None:
    evidence = images.validate()
    assert not evidence.failed, [str(gate) + gate.remedy for gate in evidence.failed]
    assert {gate.name for gate in evidence.gates} == {
        *("broken_expectations", "near_duplicate_recall", "near_duplicate_share", "outlier_auroc")
    }
    assert {path.name for path in evidence.files} == {
        *("result.json", "leakage.csv", "leakage.png", "outliers.csv", "outliers.png")
    }
    result = read_json(images.paths.reports / "validation" / "result.json")
    assert result["rows"] == {"labels": TRAIN + TEST, "images": TRAIN + TEST}
    assert 0 < result["near_duplicates"]["ratio"] < 1
    assert result["near_duplicates"]["recall"]["interval"][0] > 0.1


def missing_label(images: Images) -> None:
    images.edit("labelled/labels.parquet", lambda t: pa.concat_tables([t.slice(0, 3), t.slice(4)]))


def label_without_item(images: Images) -> None:
    images.set("labelled/labels.parquet", "item_id", 5, "drawn:train:9999")


def label_out_of_range(images: Images) -> None:
    images.set("labelled/labels.parquet", "label", 7, 12)


def item_twice(images: Images) -> None:
    images.set("collected/items.parquet", "item_id", 8, "drawn:train:9")


def unknown_part(images: Images) -> None:
    images.set("collected/items.parquet", "part", 11, "dev")


def unknown_source(images: Images) -> None:
    images.set("collected/items.parquet", "source", 12, "elsewhere")


def licence_not_allowed(images: Images) -> None:
    images.change("plan", "allowed_licences", to=["MIT"])


def blank(images: Images) -> None:
    images.paint({13: np.zeros((1, 28, 28), np.uint8)})


def inverted(images: Images) -> None:
    images.paint({14: 255 - images.pixels[14]})


def altered_pixels(images: Images) -> None:
    images.paint({15: images.pixels[16]}, collected=False)


def copies(images: Images) -> None:
    images.paint({row: images.pixels[20] for row in range(21, 24)})


def copy_across_the_parts(images: Images) -> None:
    images.paint({TRAIN + 1: images.pixels[30]})


def class_missing(images: Images) -> None:
    def without_nines(table: pa.Table) -> pa.Table:
        labels = np.where(table["label"].to_numpy() == 9, 4, table["label"].to_numpy())
        return table.set_column(table.schema.get_field_index("label"), "label", pa.array(labels))

    images.edit("labelled/labels.parquet", without_nines)


def too_few(images: Images) -> None:
    images.change("plan", "min_items", to=1000)


def too_few_of_a_class(images: Images) -> None:
    images.change("plan", "min_items_per_class", to=80)


def many_doubtful(images: Images) -> None:
    images.change("validate", "doubtful_share_max", to=0.01)
    for row in range(40, 50):
        images.set("labelled/labels.parquet", "doubtful", row, True)


def many_unusual(images: Images) -> None:
    rng = np.random.default_rng(0)
    images.change("validate", "outlier_share_max", to=0.02)
    images.paint({row: rng.permuted(images.pixels[row].ravel()).reshape(1, 28, 28) for row in range(60, 90)})


VIOLATIONS: list[tuple[Callable[[Images], None], str, str]] = [
    (missing_label, "images.without_label", r"max_value 0.0\).* True in row drawn:train:3"),
    (label_without_item, "labels.without_item", r"max_value 0.0\).* True in row drawn:train:9999"),
    (label_out_of_range, "images.label", r"\[0, 1, 2.*12 in row drawn:train:7"),
    (item_twice, "images.item_id", "in row drawn:train:9"),
    (unknown_part, "images.part", r"\['train', 'test', ''\].*'dev' in row drawn:train:11"),
    (unknown_source, "images.source", r"\['drawn'\].*'elsewhere' in row drawn:train:12"),
    (licence_not_allowed, "images.licence", r"\['MIT'\].*700 of 700.*'CC0-1.0' in row drawn:train:0"),
    (blank, "images.ink", "min_value 0.01.* 0.0 in row drawn:train:13"),
    (inverted, "images.ink", "max_value 0.6.* 0.[789].* in row drawn:train:14"),
    (altered_pixels, "images.other_pixels", r"max_value 0.0\).* True in row drawn:train:15"),
    (copies, "images.copy", "max_value 0.001.* True in row drawn:train:21, True in row drawn:train:22"),
    (copy_across_the_parts, "images.in_both_parts", r"max_value 0.0\).* True in row drawn:train:30"),
    (class_missing, "images.label", "distinct_values_to_contain_set.*observed"),
    (too_few, "images", "min_value 1000.*observed 700"),
    (too_few_of_a_class, "images.share_of_0", "min_value 80.*observed 70"),
    (many_doubtful, "images.doubtful", "max_value 0.01.* True in row drawn:train:40"),
    (many_unusual, "images.unusual", "max_value 0.02.* True in row drawn:train:60"),
]


@pytest.mark.parametrize(("violate", "where", "told"), VIOLATIONS, ids=lambda v: getattr(v, "__name__", ""))
def test_each_violation_stops_the_run_and_is_told_with_row_and_value(
    images: Images,
    violate: Callable[[Images], None],
    where: str,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pictures, "gallery", lambda *_: None)  # the slowest part of the stage
    violate(images)
    evidence = images.validate()
    assert evidence.stops
    broken = next(gate for gate in evidence.gates if gate.name == "broken_expectations")
    assert not broken.passed
    lines = [line for line in broken.remedy.split("; ") if line.startswith(f"{where}: ")]
    assert any(re.search(told, line) for line in lines), broken.remedy


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        ("labelled/labels.parquet", lambda t: t.drop_columns(["label"]),
         "data/digits/labelled/labels.parquet: column label is missing, allowed is int64"),
        ("collected/items.parquet",
         lambda t: t.set_column(t.column_names.index("label"), "label", pa.array(["3"] * t.num_rows)),
         "data/digits/collected/items.parquet: column label is string, allowed is int64"),
        ("collected/items.parquet", lambda t: t.slice(1),
         "data/digits/collected/images.npy: 700 images, but items.parquet has 699 rows"),
    ],
)  # fmt: skip
def test_tables_of_another_shape_are_refused_with_file_and_column(
    images: Images, file: str, change: Callable[[pa.Table], pa.Table], told: str
) -> None:
    images.edit(file, change)
    with pytest.raises(SourceError, match=told):
        images.validate()
    assert not (images.paths.reports / "validation").exists()
