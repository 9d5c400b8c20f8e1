"""Moving the aliases of a registered model: each move is recorded, and none is made on what no longer holds.

MLflow's registry cannot compare and set in one step. Processes of one repository therefore wait for each
other; for people elsewhere the alias is read immediately before it is moved and again afterwards, and a
move that meets another one stops with a message. The record comes before the alias: what a crash leaves
between the two is told apart at the next look, which records what it found.
"""

import fcntl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.champion import alias_history, registry_state
from pipeline.champion.alias_history import FOUND, ROLLED_BACK, TAKEN_OUT, WHY_LENGTH_MAX, Change, History
from pipeline.core import model_package, moved_store, registry
from pipeline.core.errors import FullcycleError, ModelError
from pipeline.core.paths import Paths
from pipeline.core.registry import ALIASES, CHALLENGER, CHAMPION, PREVIOUS, Version
from pipeline.core.tracking import StageRun

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROMOTION = "promotion"  # tag of a version: how it was decided about it
REASON = "promotion.reason"
RESTORED_TAG = "restored"
RESTORED = "the registry had lost it"


def promote(
    client: "MlflowClient", paths: Paths, version: Version, instead_of: Version | None, why: str
) -> None:
    """`version` becomes champion, the one of now previous; a challenger that is promoted is none any more.

    instead_of: the champion that it was held against. ModelError: another one is champion by now.
    """
    with _alone(paths):
        now, old = _aliases(client, paths.project), instead_of
        _refuse_other(client, paths.project, CHAMPION, old)
        moves: dict[str, tuple[Version | None, str]] = {} if old is None else {PREVIOUS: (old, "replaced")}
        moves[CHAMPION] = (version, "promoted")
        if now[CHALLENGER] == version:
            moves[CHALLENGER] = (None, "withdrawn")
        _move(client, paths, now, moves, why)
        registry.retag(client, version, {PROMOTION: "promoted", REASON: why})


def challenge(client: "MlflowClient", paths: Paths, version: Version, action: str, why: str) -> None:
    """`version` is the challenger, unless a person has taken it out of a trial. action: refused, or waiting
    (for a person)"""
    with _alone(paths):
        now = _aliases(client, paths.project)
        is_known = now[CHALLENGER] == version and registry.tag(client, version, PROMOTION) == action
        if not is_known and not look(client, paths).was_taken_out(version.sha256):
            _move(client, paths, now, {CHALLENGER: (version, action)}, why)
        registry.retag(client, version, {PROMOTION: action, REASON: why})


def withdraw(client: "MlflowClient", paths: Paths, version: Version, why: str) -> None:
    """`version` is the challenger no longer. ModelError: it is not by now."""
    with _alone(paths):
        now = _aliases(client, paths.project)
        _refuse_other(client, paths.project, CHALLENGER, version)
        _move(client, paths, now, {CHALLENGER: (None, TAKEN_OUT)}, why)


def roll_back(client: "MlflowClient", paths: Paths, why: str) -> tuple[Version, Version]:
    """Back to the champion before this one, whose files must be whole. Returns (from, to).

    ModelError: there is no champion, or there was none before it.
    """
    with _alone(paths):
        now, line = _aliases(client, paths.project), look(client, paths).champions()
        bad = now[CHAMPION]
        if bad is None:
            raise ModelError(f"{paths.project} has no champion, so there is nothing to roll back.")
        earlier = [one for one in line if one.sha256 != bad.sha256]
        there = [one for one in (_registered(client, paths.project, each) for each in earlier) if one]
        of_before_the_history = now[PREVIOUS]
        if not there and of_before_the_history not in (None, bad):
            there = [of_before_the_history]
        if not there:
            raise ModelError(
                f"version {bad.version} is the first champion of {paths.project}; there is none to go back "
                f"to. `fullcycle history {paths.project}` shows what was; `fullcycle promote` takes any "
                "version."
            )
        good = there[-1]
        with tempfile.TemporaryDirectory() as folder:
            registry.download(paths, good, Path(folder) / "package")
        before = there[-2] if len(there) > 1 else None
        moves: dict[str, tuple[Version | None, str]] = {CHAMPION: (good, ROLLED_BACK)}
        if now[PREVIOUS] != before:
            moves[PREVIOUS] = (before, ROLLED_BACK)
        _move(client, paths, now, moves, why)
        registry.retag(client, bad, {PROMOTION: ROLLED_BACK, REASON: why})
        return bad, good


def look(client: "MlflowClient", paths: Paths) -> History:
    """The history, after recording aliases that point elsewhere than it says.

    A champion that is gone is not recorded as found so: `register` brings it back, see `refill`.
    """
    history, now = alias_history.read(client, paths), _aliases(client, paths.project)
    if _lost(history, now):
        return history
    other = {alias: (now[alias], FOUND) for alias in ALIASES if now[alias] != history.last(alias)}
    if not other:
        return history
    recorded = {alias: history.last(alias) for alias in ALIASES}
    why = "moved by other means than fullcycle, or by a change that was interrupted"
    changes = _changes(client, paths, recorded, other, why)
    alias_history.record(client, paths, changes)
    return replace(history, changes=(*history.changes, *changes))


def is_lost(client: "MlflowClient", paths: Paths) -> bool:
    """Whether there was a champion, and the registry has none: it was wiped, or is being filled again."""
    return _lost(alias_history.read(client, paths), _aliases(client, paths.project))


def refill(run: StageRun) -> str:
    """Gives a registry that was wiped its champion and the one before back, if their files are still there.

    Numbers are counted anew. Returns what happened, in words; "" where nothing was lost.
    """
    client, paths = run.client, run.paths
    history, now = look(client, paths), _aliases(client, paths.project)
    if not _lost(history, now):
        return ""
    line = history.champions()[-2:]
    found = [_registered(client, paths.project, one) or _register_again(run, history, one) for one in line]
    wanted = dict(zip((CHAMPION, PREVIOUS), reversed(found), strict=False))
    moves = {alias: (version, "restored") for alias, version in wanted.items() if version is not None}
    with _alone(paths):
        _move(client, paths, now, moves, RESTORED)
    told = f"the registry had lost its champion, version {line[-1].version}"
    if found[-1] is None:
        return f"{told}, whose files are gone too, so that a person must say what replaces it"
    return f"{told}; it was registered again as version {found[-1].version}"


def _lost(history: History, now: Mapping[str, Version | None]) -> bool:
    return history.last(CHAMPION) is not None and now[CHAMPION] is None


def _register_again(run: StageRun, history: History, lost: Version) -> Version | None:
    """From the model at hand, if it is that one, else from where its files lay. None: they are gone, or are
    not what they were."""
    if model_package.verify(run.paths.model)["files"][model_package.NETWORK] == lost.sha256:
        return registry.register(run, run.paths.model, {RESTORED_TAG: RESTORED})
    from mlflow.exceptions import MlflowException

    stored = history.stored(lost.sha256)
    if stored is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        try:
            package = registry.download_from(
                moved_store.here(stored, run.paths), lost, Path(folder) / "package"
            )
        except (FullcycleError, MlflowException, OSError):
            return None
        return registry.register(run, package, {RESTORED_TAG: RESTORED})


def _registered(client: "MlflowClient", project: str, one: Version) -> Version | None:
    """The model under the number that it has now."""
    return registry.by_checksum(client, project, one.sha256)


def _aliases(client: "MlflowClient", project: str) -> dict[str, Version | None]:
    return {alias: registry.by_alias(client, project, alias) for alias in ALIASES}


def _changes(
    client: "MlflowClient",
    paths: Paths,
    now: Mapping[str, Version | None],
    moves: Mapping[str, tuple[Version | None, str]],
    why: str,
) -> list[Change]:
    at, who = alias_history.now(), alias_history.who(paths.root)
    return [
        Change(
            at, who, action, alias, now[alias], new, why[:WHY_LENGTH_MAX],
            registry.stored_at(client, new) if new else None,
        )
        for alias, (new, action) in moves.items()
    ]  # fmt: skip


def _move(
    client: "MlflowClient",
    paths: Paths,
    now: Mapping[str, Version | None],
    moves: Mapping[str, tuple[Version | None, str]],
    why: str,
) -> None:
    """now: where the aliases point, as far as is known; moves: alias -> (version, action)"""
    alias_history.record(client, paths, _changes(client, paths, now, moves, why))
    for alias, (version, _) in moves.items():
        _refuse_other(client, paths.project, alias, now[alias])
        if version is not None:
            registry.set_alias(client, version, alias, why)
        elif now[alias] is not None:
            client.delete_registered_model_alias(paths.project, alias)
        _refuse_other(client, paths.project, alias, version)
    registry_state.write(client, paths)


def _refuse_other(client: "MlflowClient", project: str, alias: str, expected: Version | None) -> None:
    found = registry.by_alias(client, project, alias)
    if found != expected:
        named = [f"version {one.version}" if one else "none" for one in (expected, found)]
        raise ModelError(
            f"The alias {alias!r} of {project} is {named[1]}, not {named[0]}: somebody else is moving it at "
            f"this moment. Look at `fullcycle history {project}`, then do again what is still wanted."
        )


@contextmanager
def _alone(paths: Paths) -> Iterator[None]:
    """No other process of this repository moves an alias of the project meanwhile; waits for one."""
    paths.registry_copy.mkdir(parents=True, exist_ok=True)
    with (paths.registry_copy / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
