"""Archives that nobody vouches for: only files, only below the folder, and never more than allowed."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.core.archives import BLOCK, Bounds, unpack
from pipeline.core.errors import SourceError

BOUNDS = Bounds(member=1 << 16, total=1 << 20)
FILES = {"dark/1.png": b"one", "dark/deep/2.png": bytes(9000), "light/3.jpg": b""}


def zipped(path: Path, files: dict[str, bytes] = FILES) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("empty")
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes] = FILES, *others: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as archive:
        for member in others:
            archive.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def unpacked(archive: Path, bounds: Bounds = BOUNDS) -> tuple[dict[str, bytes], dict[str, str]]:
    """The files found and what was refused; nothing may have been written elsewhere."""
    around = archive.parent / "around"
    folder = around / "below" / "unpacked"
    folder.mkdir(parents=True)
    refused = {one.name: one.why for one in unpack(archive, folder, bounds)}
    there = [path for path in around.rglob("*") if path.is_symlink() or not path.is_dir()]
    assert all(path.is_file() and not path.is_symlink() and path.is_relative_to(folder) for path in there)
    return {str(path.relative_to(folder)): path.read_bytes() for path in there}, refused


@pytest.mark.parametrize("pack", [None, gzip.compress, bz2.compress, lzma.compress])
def test_a_tar_is_unpacked_however_it_is_packed(
    tmp_path: Path, pack: Callable[[bytes], bytes] | None
) -> None:
    path = tarred(tmp_path / "a.tar")
    if pack:
        path.write_bytes(pack(path.read_bytes()))
    assert unpacked(path) == (FILES, {})


def test_a_zip_is_unpacked(tmp_path: Path) -> None:
    assert unpacked(zipped(tmp_path / "a.zip")) == (FILES, {})


UNSAFE = ["/etc/owned", "../owned", "dark/../../owned", "C:/owned", "..\\owned", "."]


@pytest.mark.parametrize("make", [zipped, tarred])
def test_places_outside_are_refused_by_name(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    files, refused = unpacked(make(tmp_path / "a", dict.fromkeys(UNSAFE, b"x") | FILES))
    assert files == FILES
    assert refused == dict.fromkeys(UNSAFE, "its place in the archive is unsafe; it was not unpacked")
    assert not Path("/etc/owned").exists()


def test_links_and_devices_of_a_tar_are_refused(tmp_path: Path) -> None:
    path = tarred(
        tmp_path / "a.tar",
        {"door/owned": b"x", **FILES},
        special("door", tarfile.SYMTYPE, "/tmp"),
        special("near", tarfile.SYMTYPE, "dark/1.png"),
        special("same", tarfile.LNKTYPE, "/etc/passwd"),
        special("pipe", tarfile.FIFOTYPE),
        special("zero", tarfile.CHRTYPE),
    )
    files, refused = unpacked(path)
    assert files == FILES | {"door/owned": b"x"}
    link, other = "is a link; it was not unpacked", "is no file; it was not unpacked"
    assert refused == {"door": link, "near": link, "same": link, "pipe": other, "zero": other}


def test_links_and_encrypted_members_of_a_zip_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("away")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("secret.png", b"x")
    content = bytearray(path.read_bytes())
    content[content.rfind(b"PK\x01\x02") + 8] |= 1  # flags of the last member in the directory
    path.write_bytes(content)
    files, refused = unpacked(path)
    assert files == FILES
    assert refused == {
        "away": "is a link; it was not unpacked",
        "secret.png": "is encrypted; it was not unpacked",
    }


@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_member_that_is_too_large_is_left_out(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    files, refused = unpacked(make(tmp_path / "a", {"bomb.png": bytes(70_000), **FILES}))
    assert files == FILES
    assert refused == {
        "bomb.png": "has 70,000 bytes, more than the 65,536 of member_mib_max; it was not unpacked"
    }


def test_a_zip_that_lies_about_a_size_gives_no_more_than_it_says(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"bomb.png": bytes(60_000), "z.png": b"z"})
    content = path.read_bytes().replace(struct.pack("<I", 60_000), struct.pack("<I", 500))
    path.write_bytes(content)
    files, refused = unpacked(path)
    assert files == {"z.png": b"z"} and "cannot be unpacked (Bad CRC-32" in refused["bomb.png"]


@pytest.mark.parametrize("make", [zipped, tarred])
@pytest.mark.parametrize(
    "files",
    [
        {f"{i}.png": bytes(60_000) for i in range(20)},
        {f"{i}.png": b"" for i in range(2 * BOUNDS.total // BLOCK)},
    ],
)
def test_an_archive_that_is_too_large_as_a_whole_is_not_used(
    tmp_path: Path, files: dict[str, bytes], make: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    with pytest.raises(SourceError, match=r"larger than the 1,048,576 bytes of total_mib_max \(reached at '"):
        unpacked(make(tmp_path / "a", files))
    written = sum(max(p.stat().st_size, BLOCK) for p in tmp_path.rglob("*.png"))
    assert written <= BOUNDS.total


def test_a_packed_bomb_is_not_read_to_its_end(tmp_path: Path) -> None:
    """100 GiB of zeros in a member that is skipped: to skip it would take minutes."""
    header = tarfile.TarInfo("bomb")
    header.size = 100 << 30
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(header.tobuf() + bytes(1 << 16)))
    with pytest.raises(SourceError, match="larger than the"):
        unpacked(path)


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("long")
    header.type, header.size = tarfile.XHDTYPE, 1 << 30
    (tmp_path / "a.tar").write_bytes(header.tobuf() + bytes(1 << 16))
    with pytest.raises(SourceError, match="a header of 1,073,741,824 bytes"):
        unpacked(tmp_path / "a.tar", Bounds(member=1, total=1 << 40))


def test_of_two_members_of_a_name_the_first_counts(tmp_path: Path) -> None:
    path = tarred(tmp_path / "a.tar")
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo("./dark//1.png")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"other"))
        below = tarfile.TarInfo("dark/1.png/x.png")
        archive.addfile(below)
    files, refused = unpacked(path)
    assert files == FILES
    assert refused["./dark//1.png"] == "its name came before in the archive; the first counts"
    assert "cannot be unpacked" in refused["dark/1.png/x.png"]
    assert str(tmp_path) not in refused["dark/1.png/x.png"]


@pytest.mark.parametrize("damage", ["no archive", "empty", "cut", "gzip cut", "broken header"])
def test_what_is_no_whole_archive_is_told(tmp_path: Path, damage: str) -> None:
    whole = tarred(tmp_path / "a.tar").read_bytes()
    second = whole.find(b"dark/deep")
    content = {
        "no archive": b"GIF89a" * 100,
        "empty": b"",
        "cut": whole[: second + 2000],
        "gzip cut": gzip.compress(whole)[:-30],
        "broken header": whole[:second] + b"\xff" * 100 + whole[second + 100 :],
    }
    (tmp_path / "a.tar").write_bytes(content[damage])
    with pytest.raises(SourceError, match=r"is no zip or tar that can be read as a whole"):
        unpacked(tmp_path / "a.tar")
