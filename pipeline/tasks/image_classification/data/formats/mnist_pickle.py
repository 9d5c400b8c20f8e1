"""MNIST as Nielsen's "Neural Networks and Deep Learning" distributes it: a gzipped pickle.

Three pairs (training 50,000; validation 10,000; test 10,000) of float32 (N, 784) in k/256 and
int64 (N,). Training and validation together are MNIST's 60,000 training images, in order.

A pickle can run any code when it is loaded. This one is read by an unpickler that admits numpy
arrays and nothing else.
"""

import gzip
import pickle
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core import multiarray

from pipeline.core.errors import SourceError
from pipeline.tasks.image_classification.data.formats import Images, idx
from pipeline.tasks.image_classification.source_parameters import Arrays

SIDE = 28
LEVELS = 256  # the file holds uint8 values divided by this
ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): multiarray._reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): multiarray._reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class ArrayUnpickler(pickle.Unpickler):
    """Builds numpy arrays, tuples and numbers; anything else is an error, and never called."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not admitted, only numpy arrays") from None


def read(path: Path, source: Arrays) -> list[Images]:
    try:
        with gzip.open(path) as file:
            content = ArrayUnpickler(file, encoding="latin1").load()
        (train_x, train_y), (val_x, val_y), (test_x, test_y) = content
    except (pickle.UnpicklingError, EOFError, OSError, zlib.error, ValueError, TypeError) as error:
        raise SourceError(
            f"{path}: not the pickle of numpy arrays that format mnist_pickle expects ({error})."
        ) from error
    return idx.as_parts(
        {
            "train_images": _restore(np.concatenate([train_x, val_x])),
            "train_labels": np.concatenate([train_y, val_y]).astype(np.uint8),
            "test_images": _restore(test_x),
            "test_labels": test_y.astype(np.uint8),
        },
        source,
    )


def _restore(x: np.ndarray) -> np.ndarray:
    """float32 (N, 784) in k/256 to uint8 (N, 28, 28)."""
    return np.rint(x * LEVELS).astype(np.uint8).reshape(-1, SIDE, SIDE)
