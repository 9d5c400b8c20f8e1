"""What the service reads of the MLflow registry: which version an alias points to, and that version's files.

MLflow itself costs over a second and 120 MiB to import, and would be most of the service's image; so the few
things wanted are read without it: from a database by registry_sql.py, from a server by registry_http.py.
Nothing is ever written.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.core.errors import ParameterError
from pipeline.core.paths import Paths
from pipeline.core.serve_parameters import REGISTRY_VARIABLE, Follow

CHAMPION = "champion"
CHALLENGER = "challenger"
MLFLOW_VARIABLE = "MLFLOW_TRACKING_URI"
SHA256_TAG = "sha256"  # tag of a version: SHA-256 of its network
FILE_TAG = "sha256."  # tags of a version: SHA-256 of each file of its package


@dataclass(frozen=True)
class Registered:
    """A version in the registry. version: counted from "1"; sha256: of the network, "" where nobody said;
    files: (name in the package, SHA-256) of each; location: where they lie, as MLflow says it."""

    name: str
    version: str
    sha256: str
    files: tuple[tuple[str, str], ...]
    location: str

    @classmethod
    def of_tags(cls, name: str, version: str, tags: dict[str, str], location: str) -> "Registered":
        files = {key.removeprefix(FILE_TAG): value for key, value in tags.items() if key.startswith(FILE_TAG)}
        return cls(name, version, tags.get(SHA256_TAG, ""), tuple(sorted(files.items())), location)


class RegistryReader(Protocol):
    """TrackingError: the registry does not answer; all may be well later."""

    def aliases(self, name: str, wanted: Collection[str]) -> dict[str, Registered]:
        """What the aliases of a registered model point to; those that point nowhere are left out."""
        ...

    def copy(self, version: Registered, file: str, target: Path) -> None:
        """Copies one of the version's files to `target`. ModelError: there is no such file."""
        ...

    def close(self) -> None: ...


def choose(paths: Paths) -> str:
    """The address of the registry that a service started here follows, "" for none.

    What FULLCYCLE_REGISTRY says, else MLflow's own variable, else the repository's mlflow.db if there is one.
    """
    if REGISTRY_VARIABLE in os.environ:
        return paths.located(os.environ[REGISTRY_VARIABLE])
    local = paths.home / "mlflow.db"
    return paths.located(os.environ.get(MLFLOW_VARIABLE) or (f"sqlite:///{local}" if local.is_file() else ""))


def open_registry(uri: str, settings: Follow) -> RegistryReader:
    """ParameterError: an address of a kind that cannot be read, or none at all."""
    kind = uri.partition(":")[0].lower()
    if kind in ("http", "https"):
        from serving.registry_http import HttpRegistry

        try:
            return HttpRegistry(uri, settings.timeout_seconds)
        except ValueError as error:
            raise _unreadable(kind) from error
    if kind in ("sqlite", "postgresql", "postgresql+psycopg"):
        from sqlalchemy.exc import ArgumentError

        from serving.registry_sql import SqlRegistry

        try:
            return SqlRegistry(uri, settings.timeout_seconds)
        except (ArgumentError, ValueError, ImportError) as error:  # no address; psycopg is not installed
            raise _unreadable(kind) from error
    raise _unreadable(kind)


def _unreadable(kind: str) -> ParameterError:
    """kind: of the address, whose rest may hold a password."""
    return ParameterError(
        f"{REGISTRY_VARIABLE}, {MLFLOW_VARIABLE}: this registry, of the kind {kind or 'folder'}, cannot be "
        "followed. Give the address of an MLflow server (http://, https://), whatever database that one has, "
        "or of MLflow's own database: sqlite:///FILE, or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE, "
        f'for which psycopg must be installed. {REGISTRY_VARIABLE}="" follows none.'
    )
