"""A repository that is moved or copied takes its experiments and models along."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.champion import registry_state
from pipeline.core import moved_store, registry, tracking
from pipeline.core.errors import ModelError
from pipeline.core.paths import Paths
from tests.pipeline.candidates import model, run


@pytest.fixture
def one(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A champion."""
    run(paths)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it for this process: the old place
    return paths


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place to be, where nothing is yet."""
    return tmp_path_factory.mktemp("else") / "where"


def addresses(paths: Paths) -> set[str]:
    """What mlflow.db says of where the project's files lie."""
    with closing(sqlite3.connect(paths.root / "mlflow.db")) as store:
        rows = [
            row for place in moved_store.PLACES for row in store.execute("SELECT {1} FROM {0}".format(*place))
        ]
    return {address for (address,) in rows if address.startswith("file:")}


def test_a_moved_folder_finds_its_models_and_keeps_its_runs(
    one: Paths, elsewhere: Path, tmp_path: Path
) -> None:
    here = Paths(Path(shutil.move(one.root, elsewhere)), one.project)
    champion = registry.champion(here)
    assert champion is not None and champion.version == "1"
    registry.download(here, champion, tmp_path / "brought")
    model(here, seed=0, scale=2)
    run(here)
    assert addresses(here) and all(address.startswith(here.root.as_uri()) for address in addresses(here))
    assert not (one.root / "mlruns").exists()


def test_a_copy_leaves_alone_what_it_was_copied_from(one: Paths, elsewhere: Path) -> None:
    copy = Paths(Path(shutil.copytree(one.root, elsewhere)), one.project)
    before = {path for path in one.root.rglob("*") if path.is_file()}
    model(copy, seed=0, scale=2)
    run(copy)
    assert {path for path in one.root.rglob("*") if path.is_file()} == before
    assert all(address.startswith(copy.root.as_uri()) for address in addresses(copy))
    assert all(address.startswith(one.root.as_uri()) for address in addresses(one))


def test_files_that_are_gone_are_told(one: Paths, tmp_path: Path) -> None:
    champion = registry.champion(one)
    assert champion is not None
    shutil.rmtree(one.root / "mlruns" / "digits" / "models")
    with pytest.raises(ModelError, match="digits version 1: its files are not where the registry says"):
        registry.download(one, champion, tmp_path / "brought")


def test_looking_at_the_registry_is_enough(
    one: Paths, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Paths(Path(shutil.move(one.root, elsewhere)), one.project)
    monkeypatch.chdir(here.root)
    registry_state.main()
    assert all(address.startswith(here.root.as_uri()) for address in addresses(here))


def test_a_registry_that_was_wiped_is_filled_in_a_moved_folder(one: Paths, elsewhere: Path) -> None:
    lost = registry.champion(one)
    here = Paths(Path(shutil.move(one.root, elsewhere)), one.project)
    (here.root / "mlflow.db").unlink()
    model(here, seed=1, scale=1)
    run(here)
    restored = registry.champion(here)
    assert lost is not None and restored is not None and restored.sha256 == lost.sha256


def test_what_is_not_of_this_folder_is_left_as_it_is(one: Paths, tmp_path: Path) -> None:
    team = tmp_path / "team"
    team.mkdir()
    with closing(sqlite3.connect(one.root / "mlflow.db")) as store, store:
        store.execute("UPDATE experiments SET artifact_location = ?", (f"{team.as_uri()}/files",))
    before = addresses(one)
    moved_store.follow(one)
    assert addresses(one) == before
    for address in (
        "s3://bucket/mlruns/digits/1",
        "file:///nowhere/mlruns/digits/none",
        "file:///else/where",
    ):
        assert moved_store.here(address, one) == address


def test_a_store_of_another_kind_is_told_by_mlflow(one: Paths) -> None:
    (one.root / "mlflow.db").write_text("no database")
    moved_store.follow(one)
    (one.root / "mlflow.db").unlink()
    moved_store.follow(one)
    assert tracking.local_uri(one).endswith("mlflow.db") and not (one.root / "mlflow.db").exists()
