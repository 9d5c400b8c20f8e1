"""How images are read; one file a format. Formats of one file with all images have `read(path, source)`,
those of a folder of pictures `listing(root, source, classes)`; data/decoding.py then reads the pictures."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType

import numpy as np

from pipeline.tasks.image_classification.data.listing import Listing
from pipeline.tasks.image_classification.source_parameters import Arrays, Pictures


@dataclass(frozen=True)
class Images:
    """One published part of a source, or a batch of it.

    part: "train", "test", or "" where the source has no parts
    pixels: uint8 (N, C, H, W)
    labels: int64 (N,), an index into the project's classes
    files: of each image, relative to the source's folder; empty where one file holds all
    groups: of each image, "" for none; empty where the source has no groups
    times: when each was captured, in UTC; empty where the source says nothing of it
    by: who said each label; empty where the source says nothing of it
    """

    part: str
    pixels: np.ndarray
    labels: np.ndarray
    files: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    times: tuple[datetime | None, ...] = ()
    by: tuple[str, ...] = ()


def read(path: Path, source: Arrays) -> list[Images]:
    parts: list[Images] = _module(source.format).read(path, source)
    return parts


def listing(root: Path, source: Pictures, classes: Sequence[str]) -> Listing:
    """The pictures below `root`, which need not be sound yet, and what is none."""
    found: Listing = _module(source.format).listing(root, source, classes)  # type: ignore[attr-defined]
    return found


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"pipeline.tasks.image_classification.data.formats.{name}")
