"""Near duplicates are found, unrelated images are not, and outliers score high."""

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.core.findings import Findings
from pipeline.tasks.image_classification.data import leakage, near_duplicates, outliers
from pipeline.tasks.image_classification.data.edits import EDITS
from pipeline.tasks.image_classification.data.intruders import INTRUDERS
from pipeline.tasks.image_classification.parameters import Validate
from tests import synthetic_digits, synthetic_photographs
from tests.imports import ROOT

TRAIN, TEST, LEAKED = 600, 150, 12


def limits(**changes: object) -> Validate:
    section = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"]["digits"]["validate"]
    return Validate(**(section | {"planted": 60} | changes))


def digits(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return synthetic_digits.draw(np.arange(count) % 10, rng)[:, None]


def by_shifting(first: np.ndarray, second: np.ndarray) -> float:
    """The best normalised cross-correlation of one pair, written out."""
    template = first[:, 2:-2, 2:-2].astype(float).ravel()
    height, width = (size - 4 for size in first.shape[1:])
    windows = [second[:, y : y + height, x : x + width].ravel() for y in range(5) for x in range(5)]
    return max(float(np.corrcoef(template, window)[0, 1]) for window in windows)


def correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The same by the code under test, of each pair."""
    among = near_duplicates.collection(second)
    return near_duplicates.correlations(first, second[:, None], among.spread[:, None])[:, 0]


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 15, 20)])
def test_the_correlation_is_the_best_over_all_shifts(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (2, 20, *shape), dtype=np.uint8)
    expected = [by_shifting(a, b) for a, b in zip(first, second, strict=True)]
    assert correlation(first, second) == pytest.approx(expected, abs=1e-5)


def test_the_correlation_of_an_image_moved_by_two_pixels_is_one_and_of_a_blank_one_zero() -> None:
    image = np.zeros((1, 1, 28, 28), np.uint8)
    image[..., 8:20, 10:14] = 200
    moved = np.roll(image, (2, -2), axis=(2, 3))
    assert correlation(image, moved)[0] == pytest.approx(1, abs=1e-5)
    assert correlation(image, np.roll(image, 3, axis=3))[0] < 0.9
    for flat in (np.zeros_like(image), np.full_like(image, 255)):
        assert correlation(image, flat)[0] == 0
        assert correlation(flat, image)[0] == 0


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("channels", [1, 3])
def test_an_edit_changes_every_image_a_little(name: str, channels: int) -> None:
    pixels = synthetic_photographs.draw(20, np.random.default_rng(0))[:, :channels]
    before = pixels.copy()
    edited = EDITS[name](pixels, np.random.default_rng(1))
    assert edited.shape == pixels.shape and edited.dtype == np.uint8 and (pixels == before).all()
    assert (edited != pixels).any(axis=(1, 2, 3)).all()
    assert correlation(edited, pixels).min() > 0.75


def examined(pixels: np.ndarray, folder: Path, **changes: object) -> Findings:
    """The last TEST images are the test part."""
    ids = np.array([f"s:{i}" for i in range(len(pixels))])
    test = np.arange(len(pixels)) >= len(pixels) - TEST
    return leakage.examine(ids, pixels, ids, test, limits(**changes), folder)


def test_planted_edits_of_photographs_are_found(tmp_path: Path) -> None:
    pixels = synthetic_photographs.draw(TRAIN + TEST, np.random.default_rng(0))
    found = examined(pixels, tmp_path, near_duplicate_recall_min=0.85)
    recall, share = found.gates
    assert recall.passed and share.passed, found.details
    assert recall.interval is not None and recall.interval[0] < recall.value <= recall.interval[1]
    assert found.details["near_duplicates"]["recall"]["of"] == 360
    assert (tmp_path / "leakage.png").stat().st_size > 1000


def test_images_larger_than_the_search_compares_are_found_too(tmp_path: Path) -> None:
    pixels = synthetic_photographs.draw(300, np.random.default_rng(0), side=48)
    found = examined(pixels, tmp_path, near_duplicate_recall_min=0.85)
    assert found.gates[0].passed, found.details


def test_a_test_part_that_shows_training_images_again_fails_its_gate(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pixels = synthetic_photographs.draw(TRAIN + TEST, rng)
    pixels[-LEAKED:] = EDITS["jpeg"](pixels[:LEAKED], rng)
    _, share = examined(pixels, tmp_path).gates
    assert not share.passed and share.value >= LEAKED / TEST
    assert "leakage.csv" in share.remedy and f"of {TEST} test images" in share.remedy
    with (tmp_path / "leakage.csv").open() as file:
        rows = list(csv.DictReader(file))
    planted = {(f"s:{TRAIN + TEST - LEAKED + i}", f"s:{i}") for i in range(LEAKED)}
    assert planted <= {(row["item_id"], row["other_id"]) for row in rows if row["parts"] == "test-train"}
    values = [float(row["correlation"]) for row in rows if row["parts"] == "test-train"]
    assert values == sorted(values, reverse=True)


def test_false_alarms_are_as_rare_as_they_are_said_to_be() -> None:
    """The threshold is set on some training images and holds for others of the same kind."""
    pixels, others = digits(1500, 0), digits(1000, 1)
    among = near_duplicates.collection(pixels)
    rows = np.arange(1000)
    limit = near_duplicates.calibrated(near_duplicates.nearest(among, pixels[rows], rows), 0.05)
    assert 0.02 < limit.passed(near_duplicates.nearest(among, others)).mean() < 0.09


@pytest.mark.parametrize("name", INTRUDERS)
def test_an_intruder_keeps_shape_and_type(name: str) -> None:
    pixels = synthetic_photographs.draw(20, np.random.default_rng(0))
    before = pixels.copy()
    made = INTRUDERS[name](pixels, np.random.default_rng(1))
    assert made.shape == pixels.shape and made.dtype == np.uint8 and (pixels == before).all()
    assert (made != pixels).any(axis=(1, 2, 3)).all()


def test_outliers_are_told_from_digits_and_named(tmp_path: Path) -> None:
    pixels = digits(TRAIN, 0)
    rng = np.random.default_rng(1)
    for place, make in enumerate(INTRUDERS.values()):
        pixels[place] = make(pixels[place : place + 1], rng)[0]
    ids = np.array([f"s:{i}" for i in range(TRAIN)])
    findings, unusual = outliers.examine(ids, pixels, limits(), tmp_path)
    assert findings.gates[0].passed and findings.gates[0].interval is not None, findings.details
    assert unusual[: len(INTRUDERS)].all()
    with (tmp_path / "outliers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["item_id"] for row in rows[: len(INTRUDERS)]} == {f"s:{i}" for i in range(len(INTRUDERS))}
    assert all(row["reason"] for row in rows)
    assert (tmp_path / "outliers.png").stat().st_size > 1000


def test_outliers_in_a_tenth_of_the_images_hide_nothing(tmp_path: Path) -> None:
    pixels = digits(TRAIN, 0)
    pixels[: TRAIN // 10] = 0
    _, unusual = outliers.examine(np.arange(TRAIN).astype(str), pixels, limits(), tmp_path)
    assert unusual[: TRAIN // 10].all() and unusual[TRAIN // 10 :].mean() < 0.05


def test_data_in_which_outliers_look_like_the_rest_fails_its_gate(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (300, 1, 28, 28), dtype=np.uint8)
    findings, _ = outliers.examine(np.arange(300).astype(str), pixels, limits(), tmp_path)
    (gate,) = findings.gates
    assert not gate.passed and "look too much like" in gate.remedy
