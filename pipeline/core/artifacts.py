"""Files that are either whole or absent: atomic writes, checksums, JSON."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHUNK = 1 << 20


def sha256(path: Path) -> str:
    """SHA-256 of a file, as 64 hex digits; reads in chunks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_folder(folder: Path) -> str:
    """One SHA-256 over the names and contents of all files below `folder`, in sorted order.

    Names alone are held in memory; folders that are links are passed over.
    """
    digest = hashlib.sha256()
    top = os.fspath(folder)
    files = [os.path.join(place, name) for place, _, names in os.walk(top) for name in names]
    # In the order of their folders, part by part: no name holds a NUL, which comes before all else.
    files.sort(key=lambda file: file.replace(os.sep, "\0"))
    for file in filter(os.path.isfile, files):
        line = f"{os.path.relpath(file, top)}\0{sha256(Path(file))}\n"
        digest.update(line.encode(errors="surrogateescape"))  # names that are no UTF-8 count by their bytes
    return digest.hexdigest()


@contextmanager
def writing_folder(target: Path) -> Iterator[Path]:
    """Yields an empty folder beside `target` that takes its place when the block ends well.

    When the block raises, `target` is untouched and the folder is removed. What a killed process
    left half-written is removed by the next call.
    """
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if target.is_dir():
            shutil.rmtree(target)
        partial.replace(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def writing_file(target: Path) -> Iterator[Path]:
    """Yields a path beside `target`; the file written there takes its place, synced to disk.

    Neither a kill nor a power cut at any moment leaves anything but the old file or the new one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.stem}.partial{target.suffix}")
    partial.unlink(missing_ok=True)
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the file's new name is on disk too
        finally:
            os.close(folder)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, atomically. NaN and infinity are refused, not written."""
    with writing_file(path) as partial:
        partial.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())
