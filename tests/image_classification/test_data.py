"""Splits, statistics and corruptions of images."""

import numpy as np
import pytest

from pipeline.tasks.image_classification.data.corruptions import CORRUPTIONS, SEVERITIES
from pipeline.tasks.image_classification.data.pixel_statistics import channel_statistics
from pipeline.tasks.image_classification.parameters import Prepare
from pipeline.tasks.image_classification.prepare import assign, draw
from tests import synthetic_digits


def test_copies_fall_on_the_same_side_and_added_data_moves_nothing() -> None:
    params = Prepare(val_share=0.2, salt="s")
    contents = [f"{i:016x}" for i in range(2000)]
    first = assign(["train"] * 2000, contents, params)
    assert set(first) == {"train", "val"} and 0.16 < np.mean(first == "val") < 0.24
    more = assign(["train"] * 4000, [*contents, *contents], params)
    assert (more[:2000] == first).all() and (more[2000:] == first).all()
    assert (assign(["test"] * 5, contents[:5], params) == "test").all()


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
