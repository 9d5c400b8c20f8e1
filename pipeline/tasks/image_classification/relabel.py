"""What people need to correct labels of images: the classes to choose from, and each image as a picture."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.core.errors import SourceError
from pipeline.core.paths import Paths
from pipeline.tasks.image_classification.data import items


def classes(params: Any) -> tuple[str, ...]:
    found: tuple[str, ...] = params.collect.classes
    return found


def pictures(paths: Paths) -> Callable[[str], bytes]:
    """A function from item_id to the image as PNG, in its own size.

    SourceError where the images, or this one, are not there.
    """
    for name in (items.TABLE, items.PIXELS):
        if not (paths.collected / name).is_file():
            raise SourceError(
                f"{paths.collected / name}: there is no such file. Run `dvc repro label@{paths.project}`."
            )
    table, pixels = items.read(paths.collected)
    place = {item: i for i, item in enumerate(table["item_id"].to_pylist())}

    def picture(item: str) -> bytes:
        if item not in place:
            raise SourceError(
                f"{paths.collected / items.TABLE}: {item} is not there; the queue was made of other data. "
                f"Run `dvc repro label@{paths.project}`."
            )
        return _png(np.asarray(pixels[place[item]]))

    return picture


def _png(image: np.ndarray) -> bytes:
    """image: uint8 (C, H, W), one channel or three"""
    from PIL import Image

    shown = image[0] if image.shape[0] == 1 else np.moveaxis(image, 0, -1)
    file = io.BytesIO()
    Image.fromarray(shown).save(file, "PNG")
    return file.getvalue()
