"""Splitting images: the published test part is the unseen data; validation is drawn by content.

Whether an image is for training or validation depends on its pixels and the salt alone, so copies
of an image fall on the same side, and added data never moves an image from one side to the other.
"""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from pipeline.core.artifacts import write_json
from pipeline.core.errors import SourceError
from pipeline.tasks.image_classification.data import items
from pipeline.tasks.image_classification.data.dataset import write_split
from pipeline.tasks.image_classification.parameters import Prepare


def prepare(params: Prepare, collected: Path, labelled: Path, folder: Path) -> None:
    table, pixels = items.read(collected)
    labels = pq.read_table(labelled / "labels.parquet", columns=["item_id", "label"])
    if not labels["item_id"].equals(table["item_id"]):
        raise SourceError(f"{labelled}: its labels are not those of {collected}. Run `dvc repro` again.")
    split = assign(table["part"].to_pylist(), table["content"].to_pylist(), params)
    label, ids = labels["label"].to_numpy(), np.array(table["item_id"].to_pylist())
    sizes = {}
    for name in ("train", "val", "test"):
        rows = np.flatnonzero(split == name)
        write_split(folder / name, pixels[rows], label[rows], ids[rows])
        sizes[name] = len(rows)
    write_json(folder / "sizes.json", sizes)


def assign(parts: list[str], contents: list[str], params: Prepare) -> np.ndarray:
    """The part of each image, str (N,): "train", "val" or "test"."""
    return np.array(
        [
            "test" if part == "test" else "val" if draw(content, params.salt) < params.val_share else "train"
            for part, content in zip(parts, contents, strict=True)
        ]
    )


def draw(content: str, salt: str) -> float:
    """A number in [0, 1) that depends on the image and the salt alone."""
    return int.from_bytes(hashlib.sha256(f"{salt}:{content}".encode()).digest()[:8]) / 2**64
