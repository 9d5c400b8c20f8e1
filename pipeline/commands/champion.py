"""`fullcycle history`, `promote`, `rollback`, `trial`: who is champion, since when and why; changing it.

The aliases move within seconds, and running services follow them. What is deployed for the next start
follows with the next `dvc repro`, which sees the change.
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.champion import champions, registry_state
from pipeline.champion.alias_history import Change
from pipeline.commands import trial
from pipeline.core import parameters, registry, tracking
from pipeline.core.errors import ModelError, ParameterError, TrackingError
from pipeline.core.paths import Paths
from pipeline.core.registry import CHAMPION, Version

if TYPE_CHECKING:
    from mlflow import MlflowClient

HELP = {
    "history": "every change of the champion: who, when, from, to, why",
    "promote": "make a version the champion by hand: one that waits for approval, or was rolled back",
    "rollback": "go back to the champion before this one",
    "trial": trial.HELP,
}
SHORT = 12  # hex digits of a checksum that a person is shown


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    parser.add_argument("project", help="a project of params.yaml")
    if verb == "trial":
        trial.add_arguments(parser)
        return
    if verb == "history":
        parser.add_argument("--json", action="store_true", help="for scripts")
        return
    if verb == "promote":
        parser.add_argument("version", help="number of the version in the registry")
        parser.add_argument("--refused", action="store_true", help="also one that was refused")
    parser.add_argument("--why", required=True, help="the reason, for the history")


def run(arguments: argparse.Namespace) -> None:
    paths = Paths(root=Path.cwd(), project=arguments.project)
    parameters.read_one(paths.root / "params.yaml", paths.project)
    if arguments.verb in ("promote", "rollback") and not arguments.why.strip():
        raise ParameterError("--why: say why; who reads the history later knows nothing else.")
    from mlflow.exceptions import MlflowException

    try:
        client = tracking.client(paths)
        lines = VERBS[arguments.verb](client, paths, arguments)
    except MlflowException as error:
        raise TrackingError(
            f"The MLflow store {tracking.tracking_uri(paths)} cannot be used: {error}. "
            "Set MLFLOW_TRACKING_URI to a store that answers, or unset it to use mlflow.db here."
        ) from error
    print("\n".join(lines))


def history(client: "MlflowClient", paths: Paths, arguments: argparse.Namespace) -> list[str]:
    changes = champions.look(client, paths).changes
    registry_state.write(client, paths)
    if arguments.json:
        return [json.dumps([change.as_json() for change in changes], indent=2)]
    if not changes:
        return [
            f"{paths.project}: no version has been registered yet. Run `dvc repro register@{paths.project}`."
        ]
    return [_line(change) for change in changes]


def promote(client: "MlflowClient", paths: Paths, arguments: argparse.Namespace) -> list[str]:
    known = champions.look(client, paths)
    version = registry.by_number(client, paths.project, arguments.version)
    if version is None:
        raise ModelError(
            f"{paths.project} has no version {arguments.version!r}. `fullcycle history {paths.project}` and "
            "`make ui` show which there are."
        )
    champion = registry.by_alias(client, paths.project, CHAMPION)
    if version == champion:
        raise ModelError(f"version {version.version} of {paths.project} is the champion already.")
    refused = registry.tag(client, version, champions.PROMOTION) == "refused"
    if refused and not known.rolled_back(version.sha256) and not arguments.refused:
        raise ModelError(
            f"version {version.version} was refused: {registry.tag(client, version, champions.REASON)}. "
            "To promote it all the same, add --refused."
        )
    champions.promote(client, paths, version, champion, arguments.why)
    return _moved(paths, version)


def rollback(client: "MlflowClient", paths: Paths, arguments: argparse.Namespace) -> list[str]:
    bad, good = champions.roll_back(client, paths, arguments.why)
    return [
        *_moved(paths, good),
        f"  Version {bad.version} will not be promoted again by `dvc repro`; "
        f"`fullcycle promote {paths.project} {bad.version} --why ...` undoes this.",
    ]


VERBS = {"history": history, "promote": promote, "rollback": rollback, "trial": trial.run}


def _moved(paths: Paths, version: Version) -> list[str]:
    return [
        f"{paths.project}: version {version.version} ({version.sha256[:SHORT]}) is the champion.",
        f"  `dvc repro review@{paths.project}` deploys it; then start it: `fullcycle serve {paths.project}`.",
    ]


def _line(change: Change) -> str:
    old, new = (_named(version) for version in (change.old, change.new))
    return (
        f"{change.at[:19]}Z  {change.alias:10}  {old} -> {new}  {change.action} by {change.who}: {change.why}"
    )


def _named(version: Version | None) -> str:
    return f"version {version.version} ({version.sha256[:SHORT]})" if version else "none"
