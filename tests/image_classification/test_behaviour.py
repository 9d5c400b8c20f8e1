"""Expectations of behaviour: each can pass and each can fail."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.parameters import Evaluate
from pipeline.tasks.image_classification.testing import behaviour, typical
from pipeline.testing.evaluation import Part
from tests.image_classification.answering import Answering, by_brightness
from tests.image_classification.test_robustness import SHIPPED, dark_and_light


def checked(
    network: Answering, folder: Path, train: Split | None = None, images: Split | None = None, **changes: Any
) -> tuple[Part, dict[str, dict[str, Any]]]:
    said = Evaluate.model_validate(SHIPPED | {"draws": 100, "behaviour": SHIPPED["behaviour"] | changes})
    there = dark_and_light(60)
    found = behaviour.check(said, ("dark", "light"), network, train or there, images or there, folder)
    return found, {test["test"]: test for test in found.details["behaviour"]}


def by_one_pixel(pixels: np.ndarray) -> np.ndarray:
    """Dark and light, told apart by the pixel in the corner alone."""
    return by_brightness(pixels[:, :, :1, :1])


def always_sure(pixels: np.ndarray) -> np.ndarray:
    return np.tile([10.0, -10.0], (len(pixels), 1))


def framed(n: int) -> Split:
    """Light or dark pixels in the corner of images that are otherwise the opposite."""
    labels = np.arange(n) % 2
    pixels = np.where(labels, 20, 230).astype(np.uint8)[:, None, None, None].repeat(12, 2).repeat(12, 3)
    pixels[:, :, :1, :1] = 255 - pixels[:, :, :1, :1]
    return Split(pixels, labels, np.arange(n).astype(str))


def test_what_depends_on_everything_is_invariant_what_depends_on_one_pixel_is_not(tmp_path: Path) -> None:
    floors = {"shift": 0.9, "noise": 0.9}
    found, tests = checked(Answering(by_brightness), tmp_path, invariance=floors)
    assert tests["same after shift"]["share"] == 1
    assert [gate.passed for gate in found.gates] == [True, True, True, True]
    found, tests = checked(
        Answering(by_one_pixel), tmp_path, train=framed(60), images=framed(60), invariance=floors
    )
    assert tests["same after shift"]["share"] < 0.8
    assert tests["same after noise"]["share"] == 1
    assert {gate.name: gate.passed for gate in found.gates} == {
        "behaviour_same_after_shift": False,
        "behaviour_same_after_noise": True,
        "behaviour_typical_images_right": True,
        "behaviour_moved_ones_right": False,
    }
    assert found.metrics["behaviour_invariance"] == pytest.approx(
        np.mean([tests[f"same after {name}"]["share"] for name in floors])
    )


def test_a_network_that_is_sure_of_everything_is_sure_of_nothing_at_all(tmp_path: Path) -> None:
    unsure = {"blank": None, "noise": 0.5}
    changes: dict[str, Any] = {"unsure": unsure, "typical": None, "invariance": {"crop": None}}
    found, tests = checked(Answering(always_sure), tmp_path, **changes)
    assert tests["unsure of noise"]["share"] == 0 and tests["unsure of noise"]["images"] == 60
    (gate,) = found.gates
    assert gate.name == "behaviour_unsure_of_noise" and not gate.passed
    assert tests["typical images right"]["share"] == 0.5  # one of both classes


def test_the_same_blank_image_is_tried_once(tmp_path: Path) -> None:
    flat = Split(np.zeros((30, 1, 12, 12), np.uint8), np.arange(30) % 2, np.arange(30).astype(str))
    _, tests = checked(Answering(by_brightness), tmp_path, images=flat)
    assert tests["unsure of blank"]["images"] == 1


def test_a_network_that_hiding_makes_surer_is_told(tmp_path: Path) -> None:
    def surer_of_grey(pixels: np.ndarray) -> np.ndarray:
        grey = (pixels == 128).mean((1, 2, 3))
        return np.stack([1 + 20 * grey, np.zeros(len(pixels))], axis=1)

    _, tests = checked(Answering(surer_of_grey), tmp_path, less_sure={"occlusion": None})
    hidden = tests["no surer after occlusion"]
    assert hidden["share"] < 0.1 and hidden["mean_confidence_after"] > hidden["mean_confidence_before"]
    _, tests = checked(Answering(by_brightness), tmp_path, less_sure={"contrast": None, "noise": None})
    assert tests["no surer after noise"]["share"] > 0.5


def test_the_table_says_what_was_tried(tmp_path: Path) -> None:
    _, tests = checked(Answering(by_brightness), tmp_path)
    with (tmp_path / "behaviour.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["test"] for row in rows] == list(tests)
    assert {row["kind"] for row in rows} == set(behaviour.KINDS)
    assert (tmp_path / "behaviour.png").is_file()
    assert [row["required"] for row in rows if row["test"] == "same after shift"] == ["0.97"]


def test_typical_images_are_the_nearest_to_the_mean_of_their_class(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    split = dark_and_light(400)
    odd = rng.choice(400, 40, replace=False)
    split.pixels[odd] = rng.integers(0, 256, (40, 1, 12, 12))
    whole = typical.of_each_class(split, 15)
    assert np.bincount(whole.labels).tolist() == [15, 15]
    assert not set(whole.ids) & set(split.ids[odd])
    monkeypatch.setattr(typical, "VALUES", 144 * 7)  # seven images at a time
    assert (typical.of_each_class(split, 15).ids == whole.ids).all()
    assert len(typical.of_each_class(split, 1000)) == 400
