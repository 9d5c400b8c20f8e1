"""From listed pictures to pixels: a batch at a time, so that memory stays bounded however many there are.

Resizing is that of the service (data/pixels.py): the longer side is fitted, the rest padded in the colour
of the border. Nothing is cut off, which could be what tells the classes apart, and what the network is
trained on is what it will be asked about.
"""

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.tasks.image_classification.data import pixels
from pipeline.tasks.image_classification.data.formats import Images
from pipeline.tasks.image_classification.data.listing import Fault, Listing
from pipeline.tasks.image_classification.parameters import Image as Shape
from pipeline.tasks.image_classification.source_parameters import Pictures

FORMATS = ("PNG", "JPEG")
BATCH = 256  # pictures
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def decoded(
    root: Path, listed: Listing, source: Pictures, shape: Shape, faults: list[Fault]
) -> Iterator[Images]:
    """The listed pictures in batches, each of one part; files that cannot be used are added to `faults`."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for part, group in groupby(listed.pictures, key=lambda picture: picture.part):
            pictures = list(group)
            for start in range(0, len(pictures), BATCH):
                batch = pictures[start : start + BATCH]
                files = [root / picture.file for picture in batch]
                with warnings.catch_warnings():
                    # Pillow warns above its own limit; `pixels_max` is lower and refuses such a file anyway.
                    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                    results = list(pool.map(lambda file: decode(file, shape, source.pixels_max), files))
                good = [(p, r) for p, r in zip(batch, results, strict=True) if not isinstance(r, str)]
                faults += [
                    Fault(p.file, r, source.name)
                    for p, r in zip(batch, results, strict=True)
                    if isinstance(r, str)
                ]
                if good:
                    yield Images(
                        part,
                        np.stack([image for _, image in good]),
                        np.array([picture.label for picture, _ in good], dtype=np.int64),
                        tuple(picture.file for picture, _ in good),
                        tuple(picture.group for picture, _ in good),
                        tuple(picture.time for picture, _ in good),
                        tuple(picture.by for picture, _ in good),
                    )


def decode(file: Path, shape: Shape, pixels_max: int) -> np.ndarray | str:
    """uint8 (C, H, W); or what is wrong with the file, in words."""
    try:
        with Image.open(file, formats=FORMATS) as picture:
            size = picture.width * picture.height
            if size > pixels_max:
                return f"has {size:,} pixels, more than the {pixels_max:,} of pixels_max; it was not decoded"
            return pixels.from_image(picture, shape.height, shape.width, shape.channels)
    except BOMBS:
        return f"has far more pixels than the {pixels_max:,} of pixels_max; it was not decoded"
    except Image.UnidentifiedImageError:
        return "is neither PNG nor JPEG"
    except Exception as error:  # Pillow's plugins fail in many ways on damaged files
        return f"is damaged or cannot be read ({type(error).__name__}: {_without_place(error)})"


def _without_place(error: Exception) -> str:
    """What an error says without the folder of this machine: the same data gives the same table."""
    return (error.strerror or "") if isinstance(error, OSError) and error.strerror else str(error)
