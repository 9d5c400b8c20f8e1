"""What the files of a user's pictures tell before they are collected: classes, a size, grey or colour."""

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.core.errors import ParameterError, SourceError
from pipeline.tasks.image_classification.data.decoding import FORMATS
from pipeline.tasks.image_classification.data.formats.folder import files
from pipeline.tasks.image_classification.data.listing import refusal

GREY_MODES = ("1", "L", "LA", "I", "I;16", "F")
SIDES = (32, 96)  # pixels, of what the network reads where sizes differ
EXACT_SIDES = (16, 96)  # pixels, between which pictures of one size are taken as they are
STEP = 8  # sides are multiples of it
LOOKED_AT = 500  # pictures stored in colour that are looked at for any colour


@dataclass(frozen=True)
class Seen:
    """height, width, channels: what collect.image should say; sizes: in words, what was met"""

    height: int
    width: int
    channels: int
    sizes: str


def class_names(root: Path) -> list[str]:
    """Names of the folders in `root`, each a class; ParameterError where there are not two."""
    if not root.is_dir():
        raise SourceError(f"{root}: {'is no folder' if root.exists() else 'no such folder'}.")
    found = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(found) < 2:
        raise ParameterError(
            f"{root}: has {len(found)} folder(s){': ' + found[0] if found else ''}; at least two are needed, "
            "one for each class, with its pictures (PNG or JPEG) inside."
        )
    return found


def look(root: Path, pixels_max: int) -> Seen:
    """Reads the header of every picture, and the pixels of some."""
    root = root.resolve()
    there = [root / file for file in sorted(files(root)) if refusal(root, file) is None]
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        headers = list(pool.map(_header, there))
    usable = [
        (path, *found)
        for path, found in zip(there, headers, strict=True)
        if found and found[0] * found[1] <= pixels_max
    ]
    if not usable:
        raise SourceError(f"{root}: none of its {len(there):,} files is a PNG or JPEG picture.")
    sizes = np.array([(width, height) for _, width, height, _ in usable])
    in_colour = [path for path, _, _, mode in usable if mode not in GREY_MODES]
    spread = np.unique(np.linspace(0, len(in_colour), LOOKED_AT, endpoint=False).astype(int))
    width, height = _size(sizes)
    (narrow, low), (wide, high) = sizes.min(0), sizes.max(0)
    return Seen(
        height=height,
        width=width,
        channels=3 if any(_has_colour(in_colour[i]) for i in spread if in_colour) else 1,
        sizes=f"{wide} x {high} pixels" if len(np.unique(sizes, axis=0)) == 1
        else f"{narrow} to {wide} x {low} to {high} pixels",
    )  # fmt: skip


def _size(sizes: np.ndarray) -> tuple[int, int]:
    """Width and height of what the network should read. sizes: int (N, 2)"""
    width, height = (int(side) for side in sizes[0])
    low, high = EXACT_SIDES
    if (sizes == sizes[0]).all() and low <= min(width, height) and max(width, height) <= high:
        return width, height  # nothing is resampled
    side = round(float(np.median(sizes.max(1))) / STEP) * STEP
    side = min(max(side, SIDES[0]), SIDES[1])
    return side, side


def _header(path: Path) -> tuple[int, int, str] | None:
    """Width, height and mode; None where it is no picture that can be opened."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            return picture.width, picture.height, picture.mode
    except Exception:  # as in data/decoding.py; what is wrong with it is said by `collect`
        return None


def _has_colour(path: Path) -> bool:
    try:
        with Image.open(path, formats=FORMATS) as picture:
            picture.draft("RGB", (SIDES[1], SIDES[1]))
            values = np.asarray(picture.convert("RGB"))
    except Exception:  # as above
        return False
    return bool((values != values[..., :1]).any())
