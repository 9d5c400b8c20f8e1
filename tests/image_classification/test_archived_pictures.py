"""An archive of pictures is read as the folder that it holds; what is unsafe in it is a fault with a name."""

import csv
import hashlib
import http.server
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.artifacts import sha256_of_folder
from pipeline.core.errors import SourceError
from pipeline.tasks.image_classification.data import items
from tests.image_classification.picture_folder import collected, source, table_source, write

BOUNDS = {"within": None, "member_mib_max": 0.1, "total_mib_max": 2}


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def archived(declared: dict[str, Any], file: Path, **where: Any) -> dict[str, Any]:
    """The source as a file (or what `where` says) with its checksum."""
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    return declared | {"kind": "file", "path": file.name, "sha256": sha256, "archive": BOUNDS} | where


def tarred(root: Path, path: Path, *unsafe: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in unsafe:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        archive.add(root, "flowers")
    return path


def test_a_zip_gives_the_rows_that_its_folder_gives(tmp_path: Path) -> None:
    root = write(tmp_path / "pictures", 5)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in root.rglob("*.*"):
            archive.write(path, path.relative_to(root))
    plain, _ = collected(tmp_path)
    folder, found = collected(tmp_path, archived(source(), tmp_path / "a.zip"), to="zip")
    for name in ("items.parquet", "images.npy", "faults.csv"):
        assert (plain / name).read_bytes() == (folder / name).read_bytes()
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in plain.iterdir())
    assert all(gate.passed for gate in found.gates)


def test_an_archive_from_the_web_with_a_table_inside(tmp_path: Path, web: str) -> None:
    root = write(tmp_path / "pictures", 2)
    (root / "labels.csv").write_text("path,class\ndark/000.jpg,dark\nlight/001.png,light\n")
    path = tarred(root, tmp_path / "a.tar.gz")
    declared = archived(
        table_source(), path, kind="url", url=f"{web}/a.tar.gz", archive=BOUNDS | {"within": "flowers"}
    )
    del declared["path"]
    first, _ = collected(tmp_path, declared)
    again, _ = collected(tmp_path, declared, to="again")
    assert sha256_of_folder(first) == sha256_of_folder(again)
    assert items.read(first)[0]["item_id"].to_pylist() == ["drawn:dark/000.jpg", "drawn:light/001.png"]


def test_unsafe_members_are_faults_that_the_charter_judges(tmp_path: Path) -> None:
    root = write(tmp_path / "pictures", 3)
    unsafe = (("../owned.png", b"x"), ("/owned.png", b"x"), ("flowers/dark/bomb.png", bytes(200_000)))
    path = tarred(root, tmp_path / "a.tar.gz", *unsafe)
    declared = archived(source(), path, archive=BOUNDS | {"within": "flowers"})
    folder, found = collected(tmp_path, declared)
    with (folder / "faults.csv").open(newline="") as file:
        told = {row["item"]: (row["what"], row["where"]) for row in csv.DictReader(file)}
    place = "its place in the archive is unsafe; it was not unpacked"
    large = "has 200,000 bytes, more than the 104,857 of member_mib_max; it was not unpacked"
    assert told == {
        "../owned.png": (place, "drawn"),
        "/owned.png": (place, "drawn"),
        "flowers/dark/bomb.png": (large, "drawn"),
    }
    (gate,) = [gate for gate in found.gates if not gate.passed]
    assert (gate.name, gate.value) == ("faulty_files_share", 3 / 9)


def test_a_folder_that_the_archive_lacks_is_told_with_those_it_has(tmp_path: Path) -> None:
    path = tarred(write(tmp_path / "pictures", 1), tmp_path / "a.tar.gz")
    with pytest.raises(
        SourceError, match=r"no folder 'plants' inside; at its top there are flowers\. Correct"
    ):
        collected(tmp_path, archived(source(), path, archive=BOUNDS | {"within": "plants"}))
    assert not list(tmp_path.glob("collected/unpacked-*"))


@pytest.mark.parametrize("within", ["/etc", "..", "a/../b", "a\\b", ""])
def test_a_folder_outside_the_archive_cannot_be_declared(tmp_path: Path, within: str) -> None:
    path = tarred(write(tmp_path / "pictures", 1), tmp_path / "a.tar.gz")
    with pytest.raises(ValueError, match="within"):
        collected(tmp_path, archived(source(), path, archive=BOUNDS | {"within": within}))
