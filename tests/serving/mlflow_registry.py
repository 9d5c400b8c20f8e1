"""An MLflow registry with versions of small packages, made by MLflow itself."""

import shutil
from pathlib import Path

from mlflow import MlflowClient

from pipeline.core import model_package
from pipeline.core.artifacts import read_json, sha256


class MlflowRegistry:
    """name: of the registered model; folder: where its files lie, for an address of a database."""

    def __init__(self, uri: str, name: str, folder: Path) -> None:
        self.uri, self.name, self.folder = uri, name, folder
        self.client = MlflowClient(uri, uri)
        self.client.create_registered_model(name)
        self.added = 0

    def add(self, package: Path, tags: dict[str, str] | None = None) -> str:
        """A new version with the tags that `register` sets, or others; returns its number."""
        self.added += 1
        files = read_json(package / model_package.DESCRIPTION)["files"]
        network = files[model_package.NETWORK]
        described = {model_package.DESCRIPTION: sha256(package / model_package.DESCRIPTION)}
        told = {"sha256": network} | {f"sha256.{name}": value for name, value in (files | described).items()}
        stored = self.folder / f"stored {self.added}"  # a space, as it may be in anybody's folders
        shutil.copytree(package, stored)
        (stored / model_package.NETWORK).rename(stored / model_package.MLFLOW_NETWORK)
        run_id, source = self._upload(stored) if self.uri.startswith("http") else (None, stored.as_uri())
        tags = told if tags is None else tags
        return str(self.client.create_model_version(self.name, source, run_id=run_id, tags=tags).version)

    def stored(self, version: str) -> Path:
        """The files of a version, to spoil."""
        return self.folder / f"stored {version}"

    def point(self, alias: str, version: str) -> None:
        self.client.set_registered_model_alias(self.name, alias, version)

    def _upload(self, stored: Path) -> tuple[str, str]:
        run = self.client.create_run("0")
        self.client.log_artifacts(run.info.run_id, str(stored), "model")
        return run.info.run_id, f"{run.info.artifact_uri}/model"
