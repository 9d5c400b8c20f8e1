"""A new project: a section appended to params.yaml, made of the text of a project that is there.

Comments stay, nothing that stands there already is changed, and what is appended has been checked as any
stage would check it.
"""

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.core import parameters
from pipeline.core.artifacts import writing_file
from pipeline.core.errors import ParameterError
from pipeline.projects import yaml_text

NAME = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True)
class Change:
    """Another value at `path` of the project; block: written one entry a line."""

    path: tuple[str, ...]
    value: Any
    block: bool = False


def refuse_bad_name(path: Path, name: str) -> None:
    """ParameterError for a name that params.yaml has, or that could not be the name of a folder."""
    if name in parameters.read(path):
        raise ParameterError(
            f"{path.name}: there is a project {name!r} already. Choose another name, or edit its section."
        )
    if not NAME.fullmatch(name):
        raise ParameterError(
            f"{name!r} cannot name a project: small letters, digits, - and _ are allowed, a letter first."
        )


def place(path: Path, root: Path) -> str:
    """How params.yaml names a user's file or folder: relative to the repository where it lies inside."""
    inside = path.resolve().is_relative_to(root.resolve())
    return os.path.relpath(path, root) if inside else str(path.resolve())


def append(path: Path, name: str, like: str, changes: Sequence[Change]) -> None:
    """Appends project `name` to params.yaml: the text of project `like` with `changes`."""
    text = path.read_text()
    lines = text.splitlines()
    start, end = yaml_text.lines_of(lines, ("projects", like))
    block = ["projects:", f"  {name}:", *lines[start + 1 : end]]
    expected = parameters.read(path)[like]
    for change in changes:
        block = yaml_text.replaced(block, ("projects", name, *change.path), change.value, block=change.block)
        _set(expected, change)
    while not block[-1].strip():
        block.pop()
    if yaml.safe_load("\n".join(block))["projects"][name] != expected:
        raise ParameterError(
            f"{path.name}: the section of {like!r} is not written in block style with two spaces a level, "
            "so that its text cannot be taken over. Write it so, or copy it by hand."
        )
    new = text.rstrip("\n") + "\n\n" + "\n".join(block[1:]) + "\n"
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / path.name
        trial.write_text(new)
        parameters.load(trial, name)
    with writing_file(path) as partial:
        partial.write_text(new)


def _set(section: dict[str, Any], change: Change) -> None:
    *places, last = change.path
    for place in places:
        section = section[place]
    section[last] = yaml_text.plain(change.value)
