"""Splits, statistics and corruptions of images."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.tasks.image_classification.data.corruptions import CORRUPTIONS, SEVERITIES
from pipeline.tasks.image_classification.data.pixel_statistics import channel_statistics
from pipeline.tasks.image_classification.data.splitting import assign, draw
from pipeline.tasks.image_classification.parameters import Prepare
from tests import synthetic_digits


def test_copies_fall_on_the_same_side_and_added_data_moves_nothing() -> None:
    params = Prepare(test_share=0, val_share=0.2, salt="s")
    contents = [f"{i:016x}" for i in range(2000)]
    first = assign(table("train", contents), params)
    assert set(first) == {"train", "val"} and 0.16 < np.mean(first == "val") < 0.24
    more = assign(table("train", [*contents, *contents]), params)
    assert (more[:2000] == first).all() and (more[2000:] == first).all()
    assert (assign(table("test", contents[:5]), params) == "test").all()


def test_a_test_part_is_drawn_where_none_was_published() -> None:
    params = Prepare(test_share=0.3, val_share=0.2, salt="s")
    contents = [f"{i:016x}" for i in range(2000)]
    drawn = assign(table("", contents), params)
    assert 0.26 < np.mean(drawn == "test") < 0.34
    assert 0.16 < np.mean(drawn[drawn != "test"] == "val") < 0.24  # the draws do not depend on each other
    assert (assign(table("", [*contents[:50], "new", *contents[50:]]), params)[51:] == drawn[50:]).all()
    assert "test" not in assign(table("train", contents), params)


def test_a_group_stays_together_and_decides_instead_of_the_content() -> None:
    params = Prepare(test_share=0.3, val_share=0.2, salt="s")
    contents = [f"{i:016x}" for i in range(1000)]
    groups = [f"p{i % 100}" for i in range(1000)]
    drawn = assign(table("", contents, groups), params).reshape(10, 100)
    assert (drawn == drawn[0]).all() and set(drawn[0]) == {"train", "val", "test"}
    assert (assign(table("", contents[::-1], groups), params) == drawn.ravel()).all()


def table(part: str, contents: list[str], groups: list[str] | None = None) -> pa.Table:
    n = len(contents)
    return pa.table({"part": [part] * n, "content": contents, "group": groups or [""] * n})


def test_another_salt_draws_another_validation_part() -> None:
    values = [draw(f"{i:x}", "a") for i in range(1000)]
    others = [draw(f"{i:x}", "b") for i in range(1000)]
    assert all(0 <= v < 1 for v in values)
    assert abs(np.corrcoef(values, others)[0, 1]) < 0.1


def test_channel_statistics_are_those_of_numpy() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 3, 9, 8), dtype=np.uint8)
    mean, std = channel_statistics(pixels)
    assert mean == pytest.approx((pixels / 255).mean((0, 2, 3)))
    assert std == pytest.approx((pixels / 255).std((0, 2, 3)))
    assert channel_statistics(np.zeros((2, 1, 4, 4), np.uint8))[1][0] > 0


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_corruption_keeps_shape_and_type_and_grows_with_severity(name: str, channels: int) -> None:
    rng = np.random.default_rng(0)
    pixels = synthetic_digits.draw(np.arange(20) % 10, rng)[:, None].repeat(channels, 1)
    before = pixels.copy()
    changes = []
    for severity in SEVERITIES:
        spoilt = CORRUPTIONS[name](pixels, severity, np.random.default_rng(1))
        assert spoilt.shape == pixels.shape and spoilt.dtype == np.uint8
        changes.append(np.abs(spoilt.astype(int) - pixels).mean())
    assert (pixels == before).all()
    assert 0 < changes[0] < min(changes[1:])


@pytest.mark.parametrize(("side", "distance"), [(28, 4), (56, 8), (9, 1)])
def test_larger_images_are_moved_further(side: int, distance: int) -> None:
    pixels = np.zeros((1, 1, side, side), np.uint8)
    pixels[..., side // 2, side // 2] = 255
    moved = CORRUPTIONS["shift"](pixels, 2, np.random.default_rng(0))
    _, _, y, x = (places.item() for places in np.nonzero(moved))
    assert abs(y - side // 2) == abs(x - side // 2) == distance


def test_scaling_keeps_the_middle_and_goes_both_ways() -> None:
    pixels = np.zeros((1, 1, 41, 41), np.uint8)
    pixels[..., 10:31, 10:31] = 200
    areas = set()
    for seed in range(8):
        scaled = CORRUPTIONS["scale"](pixels, 2, np.random.default_rng(seed))[0, 0] > 100
        assert (scaled == scaled[::-1, ::-1]).all()
        areas.add(int(scaled.sum()))
    assert len(areas) == 2 and min(areas) < 21**2 / 2 < 21**2 * 2 < max(areas)
