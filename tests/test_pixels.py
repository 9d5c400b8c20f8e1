"""The one piece of code between a raw image and the network: training and serving share it."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.tasks.image_classification.data import pixels


def stroke(height: int = 28, width: int = 28) -> np.ndarray:
    """uint8 (H, W): a bright vertical bar in the middle of black."""
    image = np.zeros((height, width), dtype=np.uint8)
    image[height // 5 : -height // 5, width * 3 // 7 : width * 4 // 7] = 255
    return image


@pytest.mark.parametrize(("channels", "shape"), [(1, (28, 28)), (3, (28, 28, 3))])
def test_an_image_of_the_right_size_and_mode_is_unchanged(channels: int, shape: tuple[int, ...]) -> None:
    raw = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    found = pixels.from_image(Image.fromarray(raw), 28, 28, channels)
    assert found.shape == (channels, 28, 28)
    assert found.dtype == np.uint8
    assert np.array_equal(found, raw[np.newaxis] if channels == 1 else raw.transpose(2, 0, 1))


def test_png_keeps_every_bit() -> None:
    raw = np.random.default_rng(1).integers(0, 256, (28, 28), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(raw).save(file, "PNG")
    assert np.array_equal(pixels.from_image(Image.open(file), 28, 28, 1)[0], raw)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_gives_the_declared_shape(mode: str, channels: int) -> None:
    found = pixels.from_image(Image.new(mode, (40, 30)), 28, 32, channels)
    assert found.shape == (channels, 28, 32)


def test_aspect_is_kept_and_the_padding_has_the_colour_of_the_border() -> None:
    wide = Image.new("RGB", (100, 50), (10, 20, 30))
    wide.paste((250, 240, 230), (40, 15, 60, 35))
    found = pixels.from_image(wide, 28, 28, 3)
    assert found[:, 0, 0].tolist() == [10, 20, 30]
    assert found[:, 27, 27].tolist() == [10, 20, 30]
    bright = found[0] > 130
    assert bright.any(axis=0).sum() == pytest.approx(bright.any(axis=1).sum(), abs=1)


def test_shrinking_is_antialiased() -> None:
    """A fine chequerboard becomes grey, not black and white by chance."""
    board = (np.indices((280, 280)).sum(axis=0) % 2 * 255).astype(np.uint8)
    found = pixels.from_image(Image.fromarray(board), 28, 28, 1)
    assert abs(float(found.mean()) - 127.5) < 2
    assert found.std() < 5


def test_exif_orientation_is_honoured() -> None:
    upright = np.zeros((28, 28), dtype=np.uint8)
    upright[:8] = 255
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise to see it upright
    Image.fromarray(np.rot90(upright)).save(file, "PNG", exif=exif)
    assert np.array_equal(pixels.from_image(Image.open(file), 28, 28, 1)[0], upright)


def test_sixteen_bits_are_scaled_not_cut_off() -> None:
    deep = np.full((28, 28), 0x8080, dtype=np.uint16)
    assert pixels.from_image(Image.fromarray(deep), 28, 28, 1).tolist() == [[[128] * 28] * 28]


@pytest.mark.parametrize(("colour", "ground"), [(255, 0), (0, 255)])
def test_transparent_drawings_stay_visible(colour: int, ground: int) -> None:
    drawing = np.zeros((28, 28, 4), dtype=np.uint8)
    drawing[8:20, 8:20] = (colour, colour, colour, 255)
    found = pixels.from_image(Image.fromarray(drawing), 28, 28, 1)[0]
    assert found[14, 14] == colour
    assert found[0, 0] == ground


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 2)])
def test_extreme_sizes(size: tuple[int, int]) -> None:
    assert pixels.from_image(Image.new("L", size, 9), 28, 28, 1).max() == 9


def test_properties_have_one_value_for_each_image() -> None:
    images = np.random.default_rng(2).integers(0, 256, (5, 3, 20, 30), dtype=np.uint8)
    found = pixels.properties(images)
    assert tuple(found) == pixels.PROPERTIES
    for values in found.values():
        assert values.shape == (5,)
        assert np.isfinite(values).all()


def test_properties_of_images_do_not_depend_on_their_batch() -> None:
    images = np.random.default_rng(3).integers(0, 256, (4, 1, 28, 28), dtype=np.uint8)
    together, alone = pixels.properties(images), pixels.properties(images[2:3])
    for name in pixels.PROPERTIES:
        assert together[name][2] == pytest.approx(alone[name][0], rel=1e-5)


@pytest.mark.parametrize("value", [0, 255])
def test_properties_of_blank_images_are_finite(value: int) -> None:
    found = pixels.properties(np.full((1, 1, 28, 28), value, dtype=np.uint8))
    assert found["brightness"][0] == pytest.approx(value / 255)
    assert found["offset_x"][0] == pytest.approx(0, abs=1e-5)
    assert found["noise"][0] == 0


def changed(image: np.ndarray) -> dict[str, float]:
    return {name: float(v[0]) for name, v in pixels.properties(image[np.newaxis, np.newaxis]).items()}


def test_each_property_answers_to_its_cause() -> None:
    plain = stroke()
    before = changed(plain)
    assert changed(plain // 2)["brightness"] < before["brightness"]
    assert changed(plain // 2)["contrast"] < before["contrast"]
    assert changed(plain // 2)["ink"] < before["ink"]
    assert changed(np.roll(plain, 4, axis=1))["offset_x"] == pytest.approx(before["offset_x"] + 4, abs=1e-3)
    assert changed(np.roll(plain, -3, axis=0))["offset_y"] == pytest.approx(before["offset_y"] - 3, abs=1e-3)
    grain = np.random.default_rng(4).integers(0, 40, plain.shape)
    assert changed(np.clip(plain + grain, 0, 255).astype(np.uint8))["noise"] > before["noise"] + 0.01
    blurred = (np.roll(plain, 1, 1) // 3 + plain // 3 + np.roll(plain, -1, 1) // 3).astype(np.uint8)
    assert changed(blurred)["contrast"] < before["contrast"]
