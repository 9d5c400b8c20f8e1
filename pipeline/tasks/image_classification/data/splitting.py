"""Which images train, choose and test.

A published part is kept: what was published as test is the unseen data. Where nothing was published, the
test part is drawn. What is drawn depends on the image's pixels (or on its group, where it has one) and the
salt alone, so copies of an image and images of one group fall on the same side, and added data never moves
an image from one side to the other.
"""

import hashlib

import numpy as np
import pyarrow as pa

from pipeline.tasks.image_classification.parameters import Prepare

SPLITS = ("train", "val", "test")


def assign(table: pa.Table, params: Prepare) -> np.ndarray:
    """The split of each row of the image table, str (N,): "train", "val" or "test"."""
    columns = [table[name].to_pylist() for name in ("part", "content", "group")]
    rows = zip(*columns, strict=True)
    return np.array([_split(part, content, group, params) for part, content, group in rows], dtype="<U5")


def _split(part: str, content: str, group: str, params: Prepare) -> str:
    key = f"group:{group}" if group else content
    # Another salt than for validation: the two draws must not depend on each other.
    if part == "test" or (not part and draw(key, f"{params.salt}:test") < params.test_share):
        return "test"
    return "val" if draw(key, params.salt) < params.val_share else "train"


def draw(key: str, salt: str) -> float:
    """A number in [0, 1) that depends on the key (of an image or a group) and the salt alone."""
    return int.from_bytes(hashlib.sha256(f"{salt}:{key}".encode()).digest()[:8]) / 2**64
