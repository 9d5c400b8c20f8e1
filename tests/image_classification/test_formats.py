"""Reading images: what was published, bit for bit, and nothing that runs code."""

import gzip
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import SourceError
from pipeline.tasks.image_classification.data import formats
from pipeline.tasks.image_classification.data.formats import idx, mnist_pickle
from pipeline.tasks.image_classification.source_parameters import FileImages
from tests import synthetic_digits


def source(format_: str, **md5: str) -> FileImages:
    return FileImages.model_validate(
        {
            "name": "s",
            "licence": "CC0-1.0",
            "format": format_,
            "idx_md5": md5,
            "kind": "file",
            "path": "x",
            "sha256": "0" * 64,
        }
    )


def test_idx_round_trip() -> None:
    array = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    assert idx.encode(array)[:4] == bytes([0, 0, 8, 3])
    assert np.array_equal(idx.decode(idx.encode(array), "x"), array)


def test_reading_an_archive_of_idx_files(tmp_path: Path) -> None:
    path, sums = synthetic_digits.archive(tmp_path, train=20, test=10)
    sums.pop("sha256")
    train, test = formats.read(path, source("idx", **sums))
    assert (train.part, test.part) == ("train", "test")
    assert train.pixels.shape == (20, 1, 28, 28) and train.pixels.dtype == np.uint8
    assert test.labels.tolist() == test.labels.astype(int).tolist() and len(test.labels) == 10


def test_a_wrong_published_checksum_is_told(tmp_path: Path) -> None:
    path, _ = synthetic_digits.archive(tmp_path, train=20, test=10)
    with pytest.raises(SourceError, match=r"train_images as an IDX file has MD5 .* the published one is 00"):
        formats.read(path, source("idx", train_images="00"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not an IDX file"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00", "not an IDX file of uint8"),
        (idx.encode(np.zeros((2, 2), np.uint8))[:-1], "3 values, but the header says"),
    ],
)
def test_damaged_idx(content: bytes, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        idx.decode(content, "here")


def test_an_archive_without_one_of_the_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme", "x")
    with pytest.raises(SourceError, match=r"no train-images-idx3-ubyte\[.gz\] inside; there are readme"):
        formats.read(tmp_path / "a.zip", source("idx"))


def small_mnist(path: Path) -> None:
    rng = np.random.default_rng(0)

    def part(n: int) -> tuple[np.ndarray, np.ndarray]:
        pixels = rng.integers(0, 256, (n, 784)).astype(np.float32) / 256
        return pixels, np.arange(n, dtype=np.int64) % 10

    with gzip.open(path, "wb") as file:
        pickle.dump((part(5), part(3), part(2)), file, protocol=4)


def test_the_pickle_of_mnist_is_restored_to_whole_numbers(tmp_path: Path) -> None:
    small_mnist(tmp_path / "m.pkl.gz")
    train, test = formats.read(tmp_path / "m.pkl.gz", source("mnist_pickle"))
    assert train.pixels.shape == (8, 1, 28, 28) and test.pixels.shape == (2, 1, 28, 28)
    first = np.random.default_rng(0).integers(0, 256, (5, 784)).astype(np.uint8)
    assert np.array_equal(train.pixels[:5].reshape(5, -1), first)
    assert train.labels.tolist() == [0, 1, 2, 3, 4, 0, 1, 2]


class Evil:
    def __reduce__(self) -> tuple:
        return os.system, ("touch owned",)


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with gzip.open("e.pkl.gz", "wb") as file:
        pickle.dump(Evil(), file)
    with pytest.raises(SourceError, match=r"system is not admitted, only numpy arrays"):
        formats.read(tmp_path / "e.pkl.gz", source("mnist_pickle"))
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b""), gzip.compress(pickle.dumps([1, 2]))],
    ids=["empty", "no gzip", "nothing in it", "a list"],
)
def test_what_is_no_such_pickle(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(SourceError, match="not the pickle of numpy arrays"):
        formats.read(tmp_path / "x", source("mnist_pickle"))


def test_only_array_building_is_admitted() -> None:
    assert {name for _, name in mnist_pickle.ADMITTED} == {"_reconstruct", "ndarray", "dtype"}
