"""What DVC cannot see: that the registry was changed or wiped. `dvc repro` looks each time.

    python -m pipeline.champion.registry_state

writes registry/P/aliases.json for every project: what each alias points to, and the last change. It is
what `register`, `deploy` and `monitor` depend on, so that they follow when a person promoted or rolled back,
when a team's registry was changed elsewhere, and when mlflow.db is gone. The file changes only with the
registry. A registry that does not answer is told and leaves the file: an unchanged tree needs none.
"""

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.core import moved_store, quiet, registry, tracking
from pipeline.core.artifacts import read_json, write_json, writing_file
from pipeline.core.paths import Paths
from pipeline.core.registry import HISTORY_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient

NOTHING: dict[str, Any] = {"aliases": {}, "last_change": None}


def main() -> None:
    quiet.silence()
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # else minutes where no server answers
    root = Path.cwd()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it is there
    projects = yaml.load((root / "params.yaml").read_text(), loader)["projects"]
    for project in projects:
        paths = Paths(root, project)
        try:
            _keep(paths, _found(paths))
        except Exception as error:
            print(f"{project}: the registry could not be looked at: {error}", file=sys.stderr)
            if not paths.registry_looked_at.is_file():
                _keep(paths, NOTHING)
    with writing_file(root / "registry" / "looked") as partial:
        partial.write_text("DVC runs what looks at the registry before what depends on it.\n")


def write(client: "MlflowClient", paths: Paths) -> None:
    """Keeps what the registry says now."""
    _keep(paths, ask(client, paths.project))


def ask(client: "MlflowClient", project: str) -> dict[str, Any]:
    """What MLflow says of a project's registered model."""
    found = client.search_registered_models(f"name = '{project}'")
    if not found:
        return NOTHING
    versions = {alias: registry.by_alias(client, project, alias) for alias in sorted(found[0].aliases)}
    changes = [name for name in found[0].tags if name.startswith(HISTORY_TAG)]
    return {
        "aliases": {a: {"version": v.version, "sha256": v.sha256} for a, v in versions.items() if v},
        "last_change": max(changes, default=None),
    }


def ask_sqlite(path: Path, project: str) -> dict[str, Any]:
    """The same, read from MLflow's tables: importing MLflow takes longer than all else that an unchanged
    `dvc repro` does. sqlite3.Error: there is no such file, or its tables are others."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        aliases = database.execute(
            "SELECT a.alias, a.version, t.value FROM registered_model_aliases a JOIN model_version_tags t "
            "ON t.name = a.name AND t.version = a.version AND t.key = 'sha256' WHERE a.name = ? "
            "ORDER BY a.alias",
            (project,),
        ).fetchall()
        (last,) = database.execute(
            "SELECT max(key) FROM registered_model_tags WHERE name = ? AND key LIKE ?",
            (project, f"{HISTORY_TAG}%"),
        ).fetchone()
    return {
        "aliases": {alias: {"version": str(version), "sha256": tag} for alias, version, tag in aliases},
        "last_change": last,
    }


def _found(paths: Paths) -> dict[str, Any]:
    uri = tracking.tracking_uri(paths)
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///"))
        if not path.is_file():
            return NOTHING
        moved_store.follow(paths)
        try:
            return ask_sqlite(path, paths.project)
        except sqlite3.Error:
            pass  # tables of another MLflow: it knows them
    return ask(tracking.client(paths), paths.project)


def _keep(paths: Paths, state: dict[str, Any]) -> None:
    path = paths.registry_looked_at
    if not path.is_file() or read_json(path) != state:
        write_json(path, state)


if __name__ == "__main__":
    main()
