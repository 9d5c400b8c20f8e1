"""How files of images are read; one file a format, each with `read(path, source) -> Images`."""

import importlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.tasks.image_classification.source_parameters import Reading


@dataclass(frozen=True)
class Images:
    """One published part of a source.

    part: "train", "test", or "" where the source has no parts
    pixels: uint8 (N, C, H, W)
    labels: int64 (N,), an index into the project's classes
    """

    part: str
    pixels: np.ndarray
    labels: np.ndarray


def read(path: Path, source: Reading) -> list[Images]:
    module = importlib.import_module(f"pipeline.tasks.image_classification.data.formats.{source.format}")
    parts: list[Images] = module.read(path, source)
    return parts
