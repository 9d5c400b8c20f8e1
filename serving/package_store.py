"""Packages of registered versions, brought here and kept for the next start or a rollback.

A folder a version: registry/served/P/v3-1a2b3c4d. It is whole or it is not there, whenever the process is
killed. Several workers may use one store; they wait for each other.
"""

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core import model_package
from pipeline.core.artifacts import sha256, writing_folder
from pipeline.core.errors import ModelError
from serving.registry_reader import Registered, RegistryReader

SHORT = 8  # hex digits of a checksum in a name


class PackageStore:
    def __init__(self, folder: Path, keep: int) -> None:
        """folder: of one project; keep: packages that stay when they are not in use."""
        self.folder, self._keep = folder, keep

    @contextmanager
    def package(self, version: Registered, reader: RegistryReader) -> Iterator[Path]:
        """The folder of a version whose every file is what the registry says, brought here where needed.

        No other worker brings or removes anything until the block ends. ModelError: it is not what the
        registry says; TrackingError: the registry does not answer; OSError: it cannot be kept here.
        """
        if not version.sha256:
            raise ModelError(
                f"version {version.version} carries no tag sha256 in the registry, so nothing says what it "
                "must be. The stage `register` sets it; a version made by other means is not served."
            )
        with self._alone():
            target = self.folder / f"v{version.version}-{version.sha256[:SHORT]}"
            try:
                _verify(target, version)
            except (ModelError, OSError, ValueError):  # not there, or not whole any more
                _bring(version, reader, target)
            os.utime(target)  # what was used last is kept longest
            yield target

    def tidy(self, in_use: Collection[tuple[str, str]]) -> None:
        """Removes all but the newest. in_use: (version, sha256) of those that stay in any case."""
        held = {f"v{version}-{checksum[:SHORT]}" for version, checksum in in_use}
        with self._alone():
            there = sorted(
                (each for each in self.folder.iterdir() if each.is_dir() and not each.name.startswith(".")),
                key=lambda each: each.stat().st_mtime,
                reverse=True,
            )
            for old in there[self._keep :]:
                if old.name not in held:
                    shutil.rmtree(old)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _bring(version: Registered, reader: RegistryReader, target: Path) -> None:
    with writing_folder(target) as partial:
        reader.copy(version, model_package.DESCRIPTION, partial / model_package.DESCRIPTION)
        for name in model_package.read_description(partial)["files"]:
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            stored = model_package.MLFLOW_NETWORK if name == model_package.NETWORK else name
            reader.copy(version, stored, partial / name)
        _verify(partial, version)


def _verify(folder: Path, version: Registered) -> None:
    """Against model.json, and model.json against the registry."""
    described = model_package.verify(folder, version.sha256)["files"]
    for name, expected in version.files:
        found = sha256(folder / name) if name == model_package.DESCRIPTION else described.get(name)
        if found != expected:
            raise ModelError(f"{folder / name}: SHA-256 is {found}, the registry says {expected}.")
