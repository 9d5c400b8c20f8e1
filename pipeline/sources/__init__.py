"""Where raw data comes from; one file a kind, each with `fetch(source, paths) -> Path`.

What was fetched, a file or a folder, is checked against the SHA-256 of params.yaml before anything reads it.
"""

import importlib
from pathlib import Path
from typing import Protocol

from pipeline.core.artifacts import sha256, sha256_of_folder
from pipeline.core.errors import SourceError
from pipeline.core.paths import Paths


class Source(Protocol):
    """What all kinds declare: `kind` is a file of this folder, `sha256` 64 hex digits, or None where the
    content of a folder is not pinned."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def sha256(self) -> str | None: ...
    @property
    def licence(self) -> str: ...


def fetch(source: Source, paths: Paths) -> Path:
    """The raw data of a source, brought here if need be; SourceError if it is not what was declared."""
    path: Path = importlib.import_module(f"pipeline.sources.{source.kind}").fetch(source, paths)
    if source.sha256 is None:
        return path
    found = checksum(path)
    if found != source.sha256:
        what = "folder" if path.is_dir() else "file"
        remedy = "put back what was there" if path.is_dir() else "delete the file and run again"
        raise SourceError(
            f"{path}: SHA-256 is {found}, but params.yaml: projects.{paths.project}.collect.sources "
            f"({source.name}) says {source.sha256}. The {what} is not used. If the data was meant to "
            f"change, put the new checksum there; else {remedy}."
        )
    return path


def checksum(path: Path) -> str:
    """SHA-256 of a file, or over all files of a folder; 64 hex digits."""
    return sha256_of_folder(path) if path.is_dir() else sha256(path)
