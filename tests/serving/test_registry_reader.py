"""What the service reads of the registry is what MLflow's own client says."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy.exc import SQLAlchemyError

from pipeline.core import model_package, registry
from pipeline.core.errors import ModelError, ParameterError, TrackingError
from pipeline.core.paths import Paths
from pipeline.core.serve_parameters import REGISTRY_VARIABLE
from pipeline.service.service_process import free_port
from serving import registry_reader
from serving.registry_http import HttpRegistry
from serving.registry_reader import CHALLENGER, CHAMPION, RegistryReader, open_registry
from tests.serving.mlflow_registry import MlflowRegistry
from tests.serving.postgresql import Server
from tests.serving.synthetic import SETTINGS

FOLLOW = SETTINGS.follow
BRIEF = FOLLOW.model_copy(update={"timeout_seconds": 1.0})


@pytest.fixture(scope="module")
def database(empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory, package: Path) -> MlflowRegistry:
    folder = tmp_path_factory.mktemp("registry")
    shutil.copy(empty_mlflow, folder / "mlflow.db")
    return filled(MlflowRegistry(f"sqlite:///{folder}/mlflow.db", "digits", folder), package)


@pytest.fixture(scope="module")
def server(
    empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory, package: Path
) -> Iterator[MlflowRegistry]:
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    shutil.copy(empty_mlflow, folder / "mlflow.db")
    command = [
        sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination", str(folder / "files"),
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        yield filled(MlflowRegistry(f"http://127.0.0.1:{port}", "digits", folder), package)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # with its workers; it keeps nothing that is wanted
        process.wait()


@pytest.fixture(scope="module")
def postgresql_database(
    postgresql: Server, tmp_path_factory: pytest.TempPathFactory, package: Path
) -> MlflowRegistry:
    uri = postgresql.database("mlflow")  # MLflow makes its tables in it
    return filled(MlflowRegistry(uri, "digits", tmp_path_factory.mktemp("postgresql")), package)


@pytest.fixture(params=["database", "server", "postgresql_database"])
def known(request: pytest.FixtureRequest) -> MlflowRegistry:
    found: MlflowRegistry = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def reader(known: MlflowRegistry) -> Iterator[RegistryReader]:
    made = open_registry(known.uri, FOLLOW)
    yield made
    made.close()


def filled(made: MlflowRegistry, package: Path) -> MlflowRegistry:
    """Two versions; the second is champion."""
    made.add(package)
    made.point(CHAMPION, made.add(package))
    return made


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


def test_the_names_of_the_aliases_are_those_of_the_pipeline() -> None:
    assert (CHAMPION, CHALLENGER) == (registry.CHAMPION, registry.CHALLENGER)


def test_it_reads_what_mlflow_says(known: MlflowRegistry, reader: RegistryReader, package: Path) -> None:
    found = reader.aliases("digits", [CHAMPION, CHALLENGER])
    assert found.keys() == {CHAMPION}
    said = known.client.get_model_version_by_alias("digits", CHAMPION)
    champion = found[CHAMPION]
    assert (champion.name, champion.version) == (said.name, str(said.version)) == ("digits", "2")
    assert champion.sha256 == said.tags["sha256"]
    assert dict(champion.files) == {
        name.removeprefix("sha256."): value for name, value in said.tags.items() if name != "sha256"
    }
    assert dict(champion.files).keys() == {"network.onnx", "weights.safetensors", "model.json"}
    assert champion.location == known.client.get_model_version_download_uri("digits", "2")


def test_it_sees_an_alias_move_and_go(known: MlflowRegistry, reader: RegistryReader) -> None:
    known.point(CHALLENGER, "1")
    assert reader.aliases("digits", [CHALLENGER])[CHALLENGER].version == "1"
    known.client.delete_registered_model_alias("digits", CHALLENGER)
    assert reader.aliases("digits", [CHALLENGER]) == {}


def test_a_version_that_is_deleted_is_challenger_no_longer(
    known: MlflowRegistry, reader: RegistryReader, package: Path
) -> None:
    version = known.add(package)
    known.point(CHALLENGER, version)
    known.client.delete_model_version("digits", version)
    assert reader.aliases("digits", [CHAMPION, CHALLENGER]).keys() == {CHAMPION}


def test_a_model_that_nobody_registered_has_no_aliases(reader: RegistryReader) -> None:
    assert reader.aliases("nobody's", [CHAMPION]) == {}


def test_files_come_bit_for_bit(reader: RegistryReader, package: Path, tmp_path: Path) -> None:
    champion = reader.aliases("digits", [CHAMPION])[CHAMPION]
    reader.copy(champion, model_package.MLFLOW_NETWORK, tmp_path / "network")
    assert hashlib.sha256((tmp_path / "network").read_bytes()).hexdigest() == champion.sha256


def test_a_file_that_is_not_there_is_said_to_be_missing(reader: RegistryReader, tmp_path: Path) -> None:
    champion = reader.aliases("digits", [CHAMPION])[CHAMPION]
    with pytest.raises(ModelError, match=r"no-such\.file is missing"):
        reader.copy(champion, "no-such.file", tmp_path / "file")


def test_reading_neither_makes_nor_changes_a_database(tmp_path: Path, database: MlflowRegistry) -> None:
    reader = open_registry(f"sqlite:///{tmp_path}/mlflow.db", FOLLOW)
    with pytest.raises(TrackingError, match="cannot be read"):
        reader.aliases("digits", [CHAMPION])
    assert list(tmp_path.iterdir()) == []
    file = Path(database.uri.removeprefix("sqlite:///"))
    before = file.read_bytes()
    open_registry(database.uri, FOLLOW).aliases("digits", [CHAMPION])
    assert file.read_bytes() == before


def test_a_database_that_is_started_anew_is_read_again(
    postgresql: Server, postgresql_database: MlflowRegistry
) -> None:
    reader = open_registry(postgresql_database.uri, BRIEF)
    assert reader.aliases("digits", [CHAMPION])
    postgresql.stop()
    try:
        with pytest.raises(TrackingError, match="cannot be read"):
            reader.aliases("digits", [CHAMPION])
    finally:
        postgresql.start()
    assert reader.aliases("digits", [CHAMPION])
    with pytest.raises(SQLAlchemyError, match="read-only"), reader._engine.begin() as connection:  # type: ignore[attr-defined]
        connection.exec_driver_sql("DELETE FROM registered_model_aliases")
    reader.close()


def test_a_server_that_is_gone_is_told(tmp_path: Path) -> None:
    reader = open_registry(f"http://127.0.0.1:{free_port()}", FOLLOW)
    with pytest.raises(TrackingError, match="does not answer"):
        reader.aliases("digits", [CHAMPION])


@pytest.mark.parametrize("kind", ["http", "postgresql+psycopg"])
def test_a_registry_that_hangs_is_told(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never says a word
        reader = open_registry(f"{kind}://me@127.0.0.1:{silent.getsockname()[1]}/mlflow", BRIEF)
        start = time.monotonic()
        with pytest.raises(TrackingError):
            reader.aliases("digits", [CHAMPION])
        assert time.monotonic() - start < 10


@pytest.mark.parametrize("said", [b"null", b"[]", b"7", b"{}", b'{"model_version": null}', b"[" * 100_000])
def test_a_server_that_says_what_makes_no_sense_has_not_said_that_there_is_none(said: bytes) -> None:
    reader = HttpRegistry("http://registry", 1.0)
    reader._client._transport = httpx.MockTransport(lambda _: httpx.Response(200, content=said))
    reader._client._mounts = {}
    with pytest.raises(TrackingError, match="MLflow server"):
        reader.aliases("digits", [CHALLENGER])


@pytest.mark.parametrize(
    ("variables", "sent"),
    [
        ({"MLFLOW_TRACKING_TOKEN": "abc"}, "Bearer abc"),
        ({"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "pw"}, "Basic bWU6cHc="),
        ({}, None),
    ],
)
def test_who_asks_is_said_as_mlflow_says_it(
    variables: dict[str, str], sent: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(404, json={"error_code": "RESOURCE_DOES_NOT_EXIST"})

    reader = HttpRegistry("http://registry", 1.0)
    reader._client._transport = httpx.MockTransport(answer)
    reader._client._mounts = {}
    assert reader.aliases("digits", [CHAMPION]) == {}
    assert seen[0].headers.get("authorization") == sent


@pytest.mark.parametrize("head", ["Content-Length: 1000\r\n", "Transfer-Encoding: chunked\r\n"])
def test_half_a_file_is_told_and_is_not_the_version_s_fault(head: str, tmp_path: Path) -> None:
    """TrackingError: it is tried again; a ModelError would be held against the version."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def break_off() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(f"HTTP/1.1 200 OK\r\n{head}\r\n5\r\nhalf \r\n".encode())

        answering = threading.Thread(target=break_off)
        answering.start()
        reader = open_registry(f"http://127.0.0.1:{server.getsockname()[1]}", BRIEF)
        version = registry_reader.Registered("digits", "1", "", (), "mlflow-artifacts:/1/model")
        with pytest.raises(TrackingError, match=r"broke off while sending model\.json"):
            reader.copy(version, "model.json", tmp_path / "model.json")
        answering.join()


def test_files_at_another_server_are_not_fetched(tmp_path: Path) -> None:
    reader = HttpRegistry("http://registry", 1.0)
    away = registry_reader.Registered("digits", "1", "", (), "mlflow-artifacts://elsewhere/1/model")
    with pytest.raises(ModelError, match="the server elsewhere"):
        reader.copy(away, "model.json", tmp_path / "model.json")


def test_a_bucket_is_not_opened(tmp_path: Path, database: MlflowRegistry) -> None:
    reader = open_registry(database.uri, FOLLOW)
    away = registry_reader.Registered("digits", "1", "", (), "s3://bucket/1/model")
    with pytest.raises(ModelError, match="s3://bucket"):
        reader.copy(away, "model.json", tmp_path / "model.json")


@pytest.mark.parametrize(
    "uri",
    [
        "databricks://profile",
        "mysql+pymysql://host/mlflow",
        "mssql+pyodbc://host/mlflow",
        "postgresql+pg8000://host/mlflow",
        "postgresql+nosuch://host/mlflow",
        "postgresql://host:port/mlflow",
        "http://[::no",
        "sqlite+no:such",
    ],
)
def test_a_registry_of_another_kind_is_refused_with_what_would_do(uri: str) -> None:
    """A service that cannot follow its registry starts all the same: what is raised must be this."""
    with pytest.raises(ParameterError, match=r"cannot be followed.*sqlite:///.*postgresql\+psycopg://"):
        open_registry(uri, FOLLOW)


def test_which_registry_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = Paths(tmp_path, "digits")
    monkeypatch.delenv(REGISTRY_VARIABLE, raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert registry_reader.choose(paths) == "", "no registry is here"
    (tmp_path / "mlflow.db").touch()
    assert registry_reader.choose(paths) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other/mlflow.db")
    assert registry_reader.choose(paths) == f"sqlite:///{tmp_path}/other/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://registry")
    assert registry_reader.choose(paths) == "https://registry"
    monkeypatch.setenv(REGISTRY_VARIABLE, "sqlite:///team/mlflow.db")
    assert registry_reader.choose(paths) == f"sqlite:///{tmp_path}/team/mlflow.db"
    monkeypatch.setenv(REGISTRY_VARIABLE, "")
    assert registry_reader.choose(paths) == "", "switched off"
    assert os.environ["MLFLOW_TRACKING_URI"] == "https://registry"
