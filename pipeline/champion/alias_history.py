"""Who was champion when, by whom and why: what MLflow's registry does not keep.

Each change of an alias is a record. Records are tags of the registered model, so that everybody who uses
the same registry sees the same history; a tag's name holds time and chance, so that two people at once never
write over each other. Each repository keeps a copy in registry/P/, one for each registry it has used: from
it a registry that was wiped is filled again. Records of both are joined whenever either is read.
"""

import getpass
import hashlib
import json
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.artifacts import read_json, write_json
from pipeline.core.paths import Paths
from pipeline.core.registry import CHAMPION, HISTORY_TAG, TAG_LENGTH_MAX, Version
from pipeline.core.tracking import local_uri, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

WHY_LENGTH_MAX = TAG_LENGTH_MAX // 2  # characters; the record holds more than the reason
ROLLED_BACK = "rolled back"
TAKEN_OUT = "taken out"  # of its trial, by a person
FOUND = "found"  # changed by other means than these, or a change that was interrupted


@dataclass(frozen=True)
class Change:
    """One alias, from one version to another; None: it pointed, or points, nowhere.

    at: UTC, ISO 8601; action: promoted, replaced, refused, waiting, withdrawn, taken out, rolled back,
    restored or found; stored: where the files of `new` lie, so that it can be registered again
    """

    at: str
    who: str
    action: str
    alias: str
    old: Version | None
    new: Version | None
    why: str
    stored: str | None

    def as_json(self) -> dict[str, Any]:
        made = asdict(self)
        return {"from" if k == "old" else "to" if k == "new" else k: value for k, value in made.items()}


@dataclass(frozen=True)
class History:
    """changes: oldest first."""

    changes: tuple[Change, ...]

    def last(self, alias: str) -> Version | None:
        """What the alias points to, as recorded."""
        found = [change for change in self.changes if change.alias == alias]
        return found[-1].new if found else None

    def champions(self) -> list[Version]:
        """The line of champions, the one of now last. A rollback takes the newest away, and so does who is
        found to be champion again: somebody went back by other means, or the newest never got that far. A
        model that comes again otherwise counts where it came last."""
        line: list[Version] = []
        for change in self.changes:
            if change.alias != CHAMPION:
                continue
            before = line[-2].sha256 if len(line) > 1 else None
            is_back = change.action == FOUND and change.new is not None and change.new.sha256 == before
            if change.old is not None and (change.action == ROLLED_BACK or is_back):
                line = [one for one in line if one.sha256 != change.old.sha256]
            if change.new is not None:
                line = [one for one in line if one.sha256 != change.new.sha256] + [change.new]
        return line

    def rolled_back(self, sha256: str) -> Change | None:
        """The change by which a person took this model back, unless one has promoted it again since."""
        for change in reversed(self.changes):
            if change.alias == CHAMPION:
                if change.new is not None and change.new.sha256 == sha256:
                    return None
                if change.action == ROLLED_BACK and change.old is not None and change.old.sha256 == sha256:
                    return change
        return None

    def was_taken_out(self, sha256: str) -> bool:
        """Whether a person has ended this model's time as challenger, and nobody has promoted it since."""
        for change in reversed(self.changes):
            if change.new is not None and change.new.sha256 == sha256:
                return False
            if change.action == TAKEN_OUT and change.old is not None and change.old.sha256 == sha256:
                return True
        return False

    def stored(self, sha256: str) -> str | None:
        """Where the files of a model lie, as last recorded."""
        places = [c.stored for c in self.changes if c.new is not None and c.new.sha256 == sha256]
        return places[-1] if places else None


def read(client: "MlflowClient", paths: Paths) -> History:
    """The records of the registry and of this repository's copy, joined; each gets what it lacks."""
    there, here = _registered(client, paths.project), _copied(paths)
    for name, value in here.items():
        if name not in there:
            _write_tag(client, paths.project, name, value)
    joined = dict(sorted((here | there).items()))
    if joined != here:
        write_json(_copy(paths), joined)
    return History(tuple(map(_change, joined.values())))


def record(client: "MlflowClient", paths: Paths, changes: Sequence[Change]) -> None:
    """Adds changes to the registry's history and to the copy."""
    copied = _copied(paths)
    for place, change in enumerate(changes):
        # Changes of one moment stay in their order.
        name = f"{HISTORY_TAG}{change.at}.{place}.{uuid.uuid4().hex[:8]}"
        copied[name] = change.as_json()
        _write_tag(client, paths.project, name, copied[name])
    write_json(_copy(paths), copied)


def now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def who(root: Path) -> str:
    """The person's name in git, else in the system."""
    try:
        asked = subprocess.run(
            ["git", "-C", str(root), "config", "user.name"], capture_output=True, text=True, check=False
        )
        return asked.stdout.strip() or getpass.getuser()
    except (OSError, KeyError):  # no git; a user without a name
        return "unknown"


def _registered(client: "MlflowClient", project: str) -> dict[str, dict[str, Any]]:
    found = client.search_registered_models(f"name = '{project}'")
    tags: Mapping[str, str] = found[0].tags if found else {}
    return {name: json.loads(value) for name, value in tags.items() if name.startswith(HISTORY_TAG)}


def _write_tag(client: "MlflowClient", project: str, name: str, value: Mapping[str, Any]) -> None:
    if not client.search_registered_models(f"name = '{project}'"):
        client.create_registered_model(project)
    client.set_registered_model_tag(project, name, json.dumps(value, ensure_ascii=False))


def _copied(paths: Paths) -> dict[str, dict[str, Any]]:
    path = _copy(paths)
    found: dict[str, dict[str, Any]] = read_json(path) if path.is_file() else {}
    return found


def _copy(paths: Paths) -> Path:
    """One file for each registry, so that none is filled with what another knew. An address may hold a
    password, so its checksum stands for it."""
    uri = tracking_uri(paths)
    other = "" if uri == local_uri(paths) else f"-{hashlib.sha256(uri.encode()).hexdigest()[:8]}"
    return paths.registry_copy / f"history{other}.json"


def _change(value: Mapping[str, Any]) -> Change:
    old, new = (Version(**value[key]) if value[key] else None for key in ("from", "to"))
    rest = {name: value[name] for name in ("at", "who", "action", "alias", "why", "stored")}
    return Change(old=old, new=new, **rest)
