"""Digits drawn from a few strokes each, as a zip of IDX files: small, learnable, made in a moment."""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pipeline.tasks.image_classification.data.formats import idx

SIDE = 28
GRID = 7  # strokes are given on a grid of this many units a side
STROKES: dict[int, list[list[tuple[float, float]]]] = {
    0: [[(2, 1), (5, 1), (5, 6), (2, 6), (2, 1)]],
    1: [[(3.5, 1), (3.5, 6)]],
    2: [[(2, 1), (5, 1), (5, 3.5), (2, 6), (5, 6)]],
    3: [[(2, 1), (5, 1), (3.5, 3.5), (5, 6), (2, 6)]],
    4: [[(2, 1), (2, 3.5), (5, 3.5)], [(5, 1), (5, 6)]],
    5: [[(5, 1), (2, 1), (2, 3.5), (5, 3.5), (5, 6), (2, 6)]],
    6: [[(4, 1), (2, 3.5), (2, 6), (5, 6), (5, 3.5), (2, 3.5)]],
    7: [[(2, 1), (5, 1), (3, 6)]],
    8: [[(2, 1), (5, 1), (5, 6), (2, 6), (2, 1)], [(2, 3.5), (5, 3.5)]],
    9: [[(5, 3.5), (2, 3.5), (2, 1), (5, 1), (5, 6)]],
}


def draw(digits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 (N, 28, 28), white on black; each digit shifted, slanted and stroked in its own way."""
    return np.stack([_draw(int(digit), rng) for digit in digits])


def archive(folder: Path, train: int, test: int, seed: int = 0) -> tuple[Path, dict[str, str]]:
    """A zip of IDX files, and what params.yaml must say of it: sha256 and the four idx_md5."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for part, count in (("train", train), ("test", test)):
        labels = rng.permutation(np.arange(count) % 10).astype(np.uint8)
        arrays[f"{part}_images"], arrays[f"{part}_labels"] = draw(labels, rng), labels
    path = folder / "digits.zip"
    with zipfile.ZipFile(path, "w") as file:
        for key, array in arrays.items():
            file.writestr(zipfile.ZipInfo(idx.NAMES[key]), idx.encode(array))
    sums = {key: hashlib.md5(idx.encode(array)).hexdigest() for key, array in arrays.items()}
    return path, {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), **sums}


def _draw(digit: int, rng: np.random.Generator) -> np.ndarray:
    image = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(image)
    shift, slant = rng.uniform(-1.5, 1.5, 2), rng.uniform(-0.15, 0.15)
    size, width = rng.uniform(0.85, 1.1), int(rng.integers(2, 4))
    for stroke in STROKES[digit]:
        points = (np.array(stroke) + rng.normal(0, 0.12, (len(stroke), 2)) - GRID / 2) * SIDE / GRID * size
        points[:, 0] += slant * points[:, 1]
        pen.line([tuple(p) for p in points + SIDE / 2 + shift], fill=255, width=width, joint="curve")
    return np.clip(np.asarray(image) * rng.uniform(0.7, 1) + rng.normal(0, 4, (SIDE, SIDE)), 0, 255).astype(
        np.uint8
    )
