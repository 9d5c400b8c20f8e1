"""IDX, the format in which MNIST is published (LeCun, Cortes, Burges, 1998).

A header of big-endian numbers (two zero bytes, type 8 = uint8, count of dimensions, then an int32 a
dimension), then the values. A zip of the four files, gzipped or not, under their published names:
`train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`.
"""

import gzip
import hashlib
import zipfile
from pathlib import Path

import numpy as np

from pipeline.core.errors import SourceError
from pipeline.tasks.image_classification.data.formats import Images
from pipeline.tasks.image_classification.source_parameters import Arrays

UINT8 = 8
NAMES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}


def read(path: Path, source: Arrays) -> list[Images]:
    files: dict[str, bytes] = {}
    with zipfile.ZipFile(path) as archive:
        members = {Path(name).name.removesuffix(".gz"): name for name in archive.namelist()}
        for key, name in NAMES.items():
            if name not in members:
                raise SourceError(f"{path}: no {name}[.gz] inside; there are {', '.join(members)}.")
            content = archive.read(members[name])
            files[key] = gzip.decompress(content) if members[name].endswith(".gz") else content
    return as_parts({key: decode(content, f"{path}: {key}") for key, content in files.items()}, source)


def as_parts(arrays: dict[str, np.ndarray], source: Arrays) -> list[Images]:
    """Training and test part from the four arrays, after meeting the published MD5 of each IDX file."""
    for key, expected in source.idx_md5.items():
        found = hashlib.md5(encode(arrays[key]), usedforsecurity=False).hexdigest()
        if found != expected:
            raise SourceError(
                f"{source.name}: {key} as an IDX file has MD5 {found}, the published one is {expected}. "
                "The data is not what it claims to be and is not used."
            )
    return [
        Images(part, arrays[f"{part}_images"][:, None], arrays[f"{part}_labels"].astype(np.int64))
        for part in ("train", "test")
    ]


def encode(array: np.ndarray) -> bytes:
    """A uint8 array of any shape as the bytes of an IDX file."""
    header = bytes([0, 0, UINT8, array.ndim]) + np.array(array.shape, dtype=">i4").tobytes()
    return header + array.astype(np.uint8, copy=False).tobytes()


def decode(content: bytes, where: str) -> np.ndarray:
    if len(content) < 4 or content[:3] != bytes([0, 0, UINT8]):
        raise SourceError(f"{where}: not an IDX file of uint8; it starts with {content[:4].hex()!r}.")
    dimensions = content[3]
    start = 4 + 4 * dimensions
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], dtype=">i4"))
    if len(content) - start != int(np.prod(shape)):
        raise SourceError(f"{where}: {len(content) - start} values, but the header says {shape}.")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)
