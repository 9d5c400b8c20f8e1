"""Sources on the web, in folders and in DVC."""

import hashlib
import http.server
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline import sources
from pipeline.core.artifacts import sha256_of_folder
from pipeline.core.errors import SourceError
from pipeline.core.paths import Paths

CONTENT = bytes(range(256)) * 9000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path, "squares")


def source(kind: str, sha256: str | None = None, **keys: str) -> sources.Source:
    return SimpleNamespace(name="s", kind=kind, licence="own", sha256=sha256, **keys)


@pytest.fixture
def web() -> Iterator[tuple[str, list[str]]]:
    """The address of a server, and which paths it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404 if "none" in self.path else 200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:100] if "cut" in self.path else CONTENT)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_a_file_on_the_web_is_brought_once(paths: Paths, web: tuple[str, list[str]]) -> None:
    address, asked = web
    wanted = source("url", SHA256, url=f"{address}/set/a%20b.zip?version=1")
    path = sources.fetch(wanted, paths)
    assert path.read_bytes() == CONTENT and path == paths.downloads / SHA256 / "a b.zip"
    sources.fetch(wanted, paths)
    assert len(asked) == 1
    path.write_bytes(b"spoilt")
    assert sources.fetch(wanted, paths).read_bytes() == CONTENT and len(asked) == 2


@pytest.mark.parametrize(
    ("place", "sha256", "told"),
    [
        ("none.zip", SHA256, r"could not be downloaded \(.*Not Found"),
        ("cut.zip", SHA256, "could not be downloaded"),
        ("a.zip", "0" * 64, r"what came has SHA-256 .* params\.yaml: projects\.squares"),
    ],
)
def test_what_the_web_does_not_give_leaves_nothing(
    paths: Paths, web: tuple[str, list[str]], place: str, sha256: str, told: str
) -> None:
    with pytest.raises(SourceError, match=told):
        sources.fetch(source("url", sha256, url=f"{web[0]}/{place}"), paths)
    assert [path for path in paths.downloads.rglob("*") if path.is_file()] == []


def test_offline_there_is_one_clear_message(paths: Paths) -> None:
    with pytest.raises(SourceError, match=r"could not be downloaded .* Check the address and the network"):
        sources.fetch(source("url", SHA256, url="http://127.0.0.1:9/a.zip"), paths)


def test_a_folder_is_held_to_its_checksum_where_there_is_one(paths: Paths) -> None:
    folder = paths.root / "pictures"
    with pytest.raises(SourceError, match=r"no such folder; params\.yaml: projects\.squares"):
        sources.fetch(source("folder", path="pictures"), paths)
    folder.mkdir()
    (folder / "a.png").write_bytes(b"a")
    pinned = source("folder", sha256_of_folder(folder), path="pictures")
    assert sources.fetch(pinned, paths) == folder
    (folder / "b.png").write_bytes(b"b")
    with pytest.raises(SourceError, match="If the data was meant to change, put the new checksum there"):
        sources.fetch(pinned, paths)
    assert sources.fetch(source("folder", path="pictures"), paths) == folder
    with pytest.raises(SourceError, match="is no folder"):
        sources.fetch(source("folder", path="pictures/a.png"), paths)


def test_a_folder_that_dvc_does_not_know(paths: Paths) -> None:
    (paths.root / "pictures").mkdir()
    with pytest.raises(SourceError, match=r"DVC does not know pictures; .* Run `dvc add pictures`"):
        sources.fetch(source("dvc", path="pictures"), paths)


def test_a_folder_that_dvc_tracks_is_pulled(
    paths: Paths, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path_factory.mktemp("site")))
    remote = tmp_path_factory.mktemp("remote")
    folder = paths.root / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"a")
    for words in (("init", "--no-scm"), ("add", "pictures")):
        command = [sys.executable, "-m", "dvc", *words]
        subprocess.run(command, cwd=paths.root, check=True, capture_output=True)
    # A remote is laid out as the cache is.
    (paths.root / ".dvc/cache").rename(remote / "there")
    (paths.root / ".dvc/config").write_text(
        f"[core]\n    no_scm = True\n    remote = there\n['remote \"there\"']\n    url = {remote}/there\n"
    )
    wanted = source("dvc", sha256_of_folder(folder), path="pictures")
    assert sources.fetch(wanted, paths) == folder
    shutil.rmtree(folder)
    assert sources.fetch(wanted, paths) == folder and (folder / "a.png").read_bytes() == b"a"
    for place in (folder, paths.root / ".dvc/cache", remote):
        shutil.rmtree(place)
    with pytest.raises(SourceError, match=r"`dvc pull pictures\.dvc` could not bring it \(ERROR"):
        sources.fetch(wanted, paths)


def test_a_file_that_dvc_tracks(paths: Paths) -> None:
    table, pictures = paths.root / "sales.csv", paths.root / "pictures"
    table.write_text("customer,product\n1,2\n")
    wanted = source("dvc_file", sources.checksum(table), path="sales.csv")
    with pytest.raises(SourceError, match=r"DVC does not know sales\.csv; .* Run `dvc add sales\.csv`"):
        sources.fetch(wanted, paths)
    table.with_name("sales.csv.dvc").touch()
    assert sources.fetch(wanted, paths) == table
    table.write_text("customer,product\n1,3\n")
    with pytest.raises(SourceError, match="SHA-256 is"):
        sources.fetch(wanted, paths)
    pictures.mkdir()
    pictures.with_name("pictures.dvc").touch()
    with pytest.raises(SourceError, match="is no file, though DVC tracks it"):
        sources.fetch(source("dvc_file", path="pictures"), paths)
