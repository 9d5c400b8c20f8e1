"""Which items a model has learnt from and was chosen by, kept in its package for whoever goes on from it.

seen_items.npz    trained, chosen: uint64, rising: the first 8 bytes of the SHA-256 of each item's id.
                  `trained` holds what the models that it was begun with have learnt from, too.
"""

import hashlib
from pathlib import Path

import numpy as np

FILE = "seen_items.npz"


def numbers(ids: np.ndarray) -> np.ndarray:
    """uint64 (N,) of item ids, str (N,)."""
    digests = b"".join(hashlib.sha256(str(each).encode()).digest()[:8] for each in ids)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def write(folder: Path, trained: np.ndarray, chosen: np.ndarray, before: Path | None) -> None:
    """trained, chosen: ids, str; before: the package that was begun with."""
    seen = [numbers(trained), *([read(before)[0]] if before else [])]
    np.savez(folder / FILE, trained=np.unique(np.concatenate(seen)), chosen=np.unique(numbers(chosen)))


def read(package: Path) -> tuple[np.ndarray, np.ndarray]:
    """trained and chosen; both empty where a package does not say."""
    if not (package / FILE).is_file():
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint64)
    with np.load(package / FILE) as arrays:
        return arrays["trained"], arrays["chosen"]
