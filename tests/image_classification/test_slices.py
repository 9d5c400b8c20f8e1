"""A planted slice is found and its gate fails; chance makes none fail; bounds are those of training."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.csv as pacsv
import pytest

from pipeline.tasks.image_classification import evaluate
from pipeline.tasks.image_classification.data.dataset import Split, write_split
from pipeline.tasks.image_classification.parameters import Slices
from pipeline.tasks.image_classification.testing import slices
from pipeline.tasks.image_classification.testing.answers import Answers
from pipeline.tasks.image_classification.testing.appearance import properties

CLASSES = ("a", "b", "c", "d")
LIMITS = Slices(floor=0.85, smallest=100, found=3, false_alarm=0.05)
WIDTHS = (1, 3, 6)  # pixels


def bars(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Upright bars of three widths, uint8 (n, 1, 16, 16), and which of WIDTHS each has."""
    rng = np.random.default_rng(seed)
    which = rng.permutation(np.arange(n) % 3)
    pixels = np.zeros((n, 1, 16, 16), dtype=np.uint8)
    for image, width, left in zip(pixels, np.take(WIDTHS, which), rng.integers(2, 8, n), strict=True):
        image[0, 2:14, left : left + width] = 200
    return pixels, which


def part(n: int, seed: int, wrong: float) -> tuple[Answers, Split, np.ndarray]:
    """Wide bars that are taken for b are wrong with a probability of `wrong`, others in 1 of 100."""
    rng = np.random.default_rng(seed)
    pixels, which = bars(n, seed)
    predicted = rng.integers(0, 4, n)
    planted = (which == 2) & (predicted == 1)
    missed = rng.random(n) < np.where(planted, wrong, 0.01)
    labels = np.where(missed, (predicted + rng.integers(1, 4, n)) % 4, predicted)
    probabilities = np.full((n, 4), 0.05)
    probabilities[np.arange(n), predicted] = 0.85
    return (
        Answers(labels, probabilities, probabilities),
        Split(pixels, labels, np.arange(n).astype(str)),
        planted,
    )


def measure(wrong: float, folder: Path, limits: Slices = LIMITS) -> dict:
    answers, test, planted = part(2400, 1, wrong)
    chosen_by, val, _ = part(1200, 2, wrong)
    train = Split(bars(900, 3)[0], np.zeros(900, dtype=np.int64), np.arange(900).astype(str))
    found = slices.measure(answers, test, chosen_by, val, train, CLASSES, limits, folder)
    return {"part": found, "gate": found.gates[0], "planted": planted, **found.details["slices"]}


def test_a_planted_slice_is_found_confirmed_and_fails_its_gate(tmp_path: Path) -> None:
    told = measure(0.5, tmp_path)
    worst = told["rows"][0]
    assert worst["slice"].endswith(" high and predicted b") and worst["items"] == told["planted"].sum()
    assert worst["kind"] == "found" and worst["evidently_below"] and worst["confirmed"]
    assert worst["low"] < 0.5 < worst["high"] and 0.3 < worst["validation_accuracy"] < 0.7
    assert not told["gate"].passed and "predicted b" in told["gate"].remedy
    assert told["part"].metrics["worst_slice_accuracy"] == worst["accuracy"]
    table = pacsv.read_csv(tmp_path / "slices.csv").to_pydict()
    assert table["slice"][0] == worst["slice"] and (tmp_path / "slices.png").is_file()


def test_without_a_weak_slice_nothing_fails_and_nothing_is_confirmed(tmp_path: Path) -> None:
    told = measure(0.01, tmp_path)
    assert told["gate"].passed and told["gate"].value == 0
    assert not any(row["confirmed"] for row in told["rows"])


def test_too_small_slices_are_listed_and_not_judged(tmp_path: Path) -> None:
    told = measure(0.5, tmp_path, LIMITS.model_copy(update={"smallest": 2401}))
    assert told["judged"] == 0 and told["gate"].passed
    assert {row["evidently_below"] for row in told["rows"]} == {None}
    assert "worst_slice_accuracy" not in told["part"].metrics


def test_slices_at_their_floor_fail_by_chance_no_oftener_than_stated() -> None:
    rng = np.random.default_rng(0)
    masks = {str(k): rng.random(2000) < 0.2 for k in range(30)}
    failed = 0
    for _ in range(200):
        right = rng.random(2000) < LIMITS.floor
        rows = slices.corrected(slices.judge(masks, right, "property"), LIMITS)
        failed += any(row["evidently_below"] for row in rows)
    assert failed <= 18  # 200 x 0.05, and what chance adds to it once in a hundred


def test_a_slice_that_is_nothing_new_is_found_once() -> None:
    rng = np.random.default_rng(1)
    weak = rng.random(1000) < 0.2
    same = weak ^ (rng.random(1000) < 0.01)
    conditions = {"weak": weak, "same": same, "other": rng.random(1000) < 0.7}
    loss = np.where(weak, 0.6, 0.1) + rng.normal(0, 0.05, 1000)
    found = slices.search(conditions, loss, 50, 5)
    assert found == [("weak", "same")]
    assert slices.search(conditions, loss, 900, 5) == []


def test_named_slices_part_the_images_and_their_bounds_are_those_of_training(tmp_path: Path) -> None:
    pixels, which = bars(600, 4)
    labels = np.arange(600) % 4
    write_split(tmp_path / "train", pixels, labels, labels.astype(str), np.arange(600))
    wide = np.flatnonzero(which == 2)
    write_split(tmp_path / "test", pixels, labels, labels.astype(str), wide)
    params = SimpleNamespace(collect=SimpleNamespace(classes=CLASSES))
    found = evaluate.slices(params, tmp_path)
    assert {mask.dtype for mask in found.values()} == {np.dtype(bool)}
    assert {len(mask) for mask in found.values()} == {len(wide)}
    assert found["stroke_width high"].all() and "stroke_width low" not in found
    assert np.array_equal(found["class b"], labels[wide] == 1)
    assert "slant low" not in found, "all bars stand upright: there is nothing to part"


def test_thirds_hold_a_third_each() -> None:
    pixels = np.zeros((900, 1, 8, 8), dtype=np.uint8)
    pixels[:, 0, 2:5, 2:5] = np.random.default_rng(5).integers(20, 250, 900)[:, None, None]
    found = slices.by_property(pixels, slices.bounds(pixels))
    for third in slices.THIRDS:
        assert found[f"brightness {third}"].mean() == pytest.approx(1 / 3, abs=0.02)


def test_properties_of_a_bar_by_hand() -> None:
    image = np.full((1, 1, 20, 20), 40, dtype=np.uint8)
    image[0, 0, 4:16, 12:16] = 244
    found = {name: float(values[0]) for name, values in properties(image).items()}
    assert found["contrast"] == pytest.approx(0.8) and found["sharpness"] == pytest.approx(1)
    assert found["brightness"] == pytest.approx((352 * 40 + 48 * 244) / 400 / 255)
    assert found["stroke_width"] == pytest.approx(2 * 48 / (np.pi / 4 * 32))
    assert found["offset_x"] == pytest.approx(4 / 20) and found["offset_y"] == pytest.approx(0, abs=1e-6)
    assert found["slant"] == pytest.approx(0, abs=1e-6)
    assert found["elongation"] == pytest.approx(1 - np.sqrt((16 - 1) / (144 - 1)), abs=1e-5)
    assert found["extent"] == pytest.approx(np.sqrt((16 - 1 + 144 - 1) / 12) / np.hypot(10, 10), abs=1e-5)


def test_properties_do_not_ask_what_is_bright_and_what_is_dark() -> None:
    pixels = np.random.default_rng(6).integers(0, 60, (30, 1, 18, 18)).astype(np.uint8)
    for k in range(30):
        pixels[k, 0, 3 : 10 + k % 4, 4 + k % 5 : 9] = 210
    found, inverted = properties(pixels), properties(255 - pixels)
    for name in set(found) - {"brightness"}:
        assert found[name] == pytest.approx(inverted[name], abs=1e-4), name


def test_leaning_and_colour_are_seen_and_a_blank_image_is_no_trouble() -> None:
    leaning = np.zeros((1, 3, 24, 24), dtype=np.uint8)
    for row in range(4, 20):
        leaning[0, 0, row, row // 2 + 4 : row // 2 + 7] = 255
    found = properties(leaning)
    assert found["slant"][0] == pytest.approx(0.5, abs=0.03) and found["colourfulness"][0] > 0.2
    assert properties(np.repeat(leaning[:, :1], 3, axis=1))["colourfulness"][0] == 0
    blank = properties(np.full((2, 1, 9, 9), 7, dtype=np.uint8))
    assert all(np.isfinite(values).all() for values in blank.values())
    assert {name for name, values in blank.items() if values.any()} == {"brightness"}
