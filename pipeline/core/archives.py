"""Unpacking an archive that nobody vouches for: zip, or tar, also packed by gzip, bzip2 or xz.

Files alone are unpacked, below the given folder alone. What else an archive may hold is left out and told by
its name, not mended: absolute places, `..`, links, devices, encrypted or damaged members, names that came
before, members larger than allowed. This is stricter than the filter `data` of Python's tarfile, which lets
links within the folder pass and makes absolute places relative. No owner, mode or time is taken over.

Sizes are bounded as the archive declares them and as they come. An archive that is larger as a whole than
allowed is not used at all: what was cut off could be a whole class.
"""

import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from pipeline.core.artifacts import CHUNK
from pipeline.core.errors import SourceError, is_disk_full

BLOCK = 4096  # bytes on disk that a file takes at least, so that empty ones count too
HEADER_MAX = 1 << 20  # bytes that a tar reads at once: a longer header would fill the memory
PACKED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError,
           NotImplementedError, RuntimeError, OSError)  # fmt: skip


@dataclass(frozen=True)
class Bounds:
    """Bytes, unpacked: of one member, more is left out; of all together, more is an error."""

    member: int
    total: int


@dataclass(frozen=True)
class Refused:
    """name: of the member; why: it was not unpacked"""

    name: str
    why: str


@dataclass(frozen=True)
class _Member:
    """size: as declared, bytes; why: it must not be unpacked, None if it may; content: opens it"""

    name: str
    size: int
    why: str | None
    content: Any


class _TooLarge(Exception):
    pass


def unpack(archive: Path, folder: Path, bounds: Bounds) -> list[Refused]:
    """Unpacks the files of `archive` below the empty `folder`; what was left out, in the archive's order.

    SourceError where it is no archive, is damaged as a whole, or is larger than bounds.total.
    """
    refused: list[Refused] = []
    seen: set[str] = set()
    taken, name = 0, "its first member"
    try:
        with _members(archive, bounds) as members:
            for member in members:
                name = member.name
                why = member.why or _wrong_place(name, seen) or _wrong_size(member.size, bounds)
                if why is None:
                    taken += -(-member.size // BLOCK) * BLOCK or BLOCK
                    if taken > bounds.total:
                        raise _TooLarge
                    why = _write(member, folder / PurePosixPath(name))
                if why is not None:
                    refused.append(Refused(name, why))
    except _TooLarge:
        raise SourceError(
            f"{archive}: unpacked it is larger than the {bounds.total:,} bytes of total_mib_max (reached at "
            f"{name!r}). It is not used. Raise total_mib_max in params.yaml only if you trust the archive."
        ) from None
    except DAMAGED as error:
        if is_disk_full(error):
            raise
        raise SourceError(
            f"{archive}: is no zip or tar that can be read as a whole, after {name!r} ({_said(error)}). "
            "Bring a whole one."
        ) from None
    return refused


def _wrong_place(name: str, seen: set[str]) -> str | None:
    path = PurePosixPath(name)
    drive = PureWindowsPath(name).drive
    if path.is_absolute() or drive or ".." in path.parts or "\\" in name or "\0" in name or not path.parts:
        return "its place in the archive is unsafe; it was not unpacked"
    if str(path) in seen:
        return "its name came before in the archive; the first counts"
    seen.add(str(path))
    return None


def _wrong_size(size: int, bounds: Bounds) -> str | None:
    if size <= bounds.member:
        return None
    return f"has {size:,} bytes, more than the {bounds.member:,} of member_mib_max; it was not unpacked"


def _write(member: _Member, path: Path) -> str | None:
    """Writes the member in chunks; what is wrong with it, in words, and then nothing is left of it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            why = _copy(member, file)
    except OSError as error:
        if is_disk_full(error):
            raise
        return f"cannot be unpacked ({_said(error)})"
    if why is not None:
        path.unlink()
    return why


def _copy(member: _Member, file: IO[bytes]) -> str | None:
    left = member.size
    try:
        with member.content() as content:
            while left >= 0 and (chunk := content.read(min(CHUNK, left + 1))):
                left -= len(chunk)
                file.write(chunk)
    except DAMAGED as error:
        if is_disk_full(error):
            raise
        return f"cannot be unpacked ({_said(error)})"
    if left == 0:
        return None
    return "is larger than it says" if left < 0 else f"is {left:,} bytes shorter than it says"


@contextmanager
def _members(path: Path, bounds: Bounds) -> Iterator[Iterator[_Member]]:
    """The members that are no folders, one after another."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield (_of_zip(archive, info) for info in archive.infolist() if not info.is_dir())
    else:
        with _unpacked_stream(path) as raw:
            bounded: Any = _Bounded(raw, bounds.total)
            with tarfile.open(fileobj=bounded, mode="r:") as tar:
                yield _of_tar(tar)


def _of_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    mode = stat.S_IFMT(info.external_attr >> 16)
    why = None
    if mode not in (0, stat.S_IFREG):
        why = f"is {'a link' if stat.S_ISLNK(mode) else 'no file'}; it was not unpacked"
    elif info.flag_bits & 1:
        why = "is encrypted; it was not unpacked"
    return _Member(info.orig_filename, info.file_size, why, partial(archive.open, info))


def _of_tar(tar: Any) -> Iterator[_Member]:
    while (info := tar.next()) is not None:
        tar.members = []  # else it keeps every header that it has met
        if info.isdir():
            continue
        why = None
        if not info.isreg():
            why = f"is {'a link' if info.issym() or info.islnk() else 'no file'}; it was not unpacked"
        yield _Member(info.name, info.size, why, partial(tar.extractfile, info))
    # A tar ends in zeros; tarfile takes a broken header for the end as well.
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise tarfile.ReadError("a broken header")


def _unpacked_stream(path: Path) -> AbstractContextManager[IO[bytes]]:
    with path.open("rb") as file:
        begin = file.read(8)
    opener: Any = next((opener for magic, opener in PACKED if begin.startswith(magic)), open)
    stream: AbstractContextManager[IO[bytes]] = opener(path, "rb")
    return stream


class _Bounded:
    """A stream to read a tar from, that ends in _TooLarge before `total` bytes would have come, and in a
    ReadError where more than HEADER_MAX are wanted at once."""

    def __init__(self, raw: IO[bytes], total: int) -> None:
        self.raw, self.total = raw, total

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= HEADER_MAX:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        self._refuse(self.raw.tell() + size)
        return self.raw.read(size)

    def seek(self, place: int) -> int:
        self._refuse(place)
        return self.raw.seek(place)

    def tell(self) -> int:
        return self.raw.tell()

    def seekable(self) -> bool:
        return True

    def _refuse(self, place: int) -> None:
        if place > self.total:
            raise _TooLarge


def _said(error: Exception) -> str:
    """Without a place of this machine: the same archive is told of in the same words."""
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or str(error) or type(error).__name__
