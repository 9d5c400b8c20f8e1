"""Where raw data comes from; one file a kind, each with `fetch(source, paths) -> Path`.

A fetched file is checked against the SHA-256 of params.yaml before anything reads it.
"""

import importlib
from pathlib import Path
from typing import Protocol

from pipeline.core.artifacts import sha256
from pipeline.core.errors import SourceError
from pipeline.core.paths import Paths


class Source(Protocol):
    """What all kinds declare: `kind` is a file of this folder, `sha256` 64 hex digits."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def licence(self) -> str: ...


def fetch(source: Source, paths: Paths) -> Path:
    """The raw file of a source, brought here if need be; SourceError if it is not what was declared."""
    path: Path = importlib.import_module(f"pipeline.sources.{source.kind}").fetch(source, paths)
    found = sha256(path)
    if found != source.sha256:
        raise SourceError(
            f"{path}: SHA-256 is {found}, but params.yaml: projects.{paths.project}.collect.sources "
            f"({source.name}) says {source.sha256}. The file is not used. If the data was meant to "
            "change, put the new checksum there; else delete the file and run again."
        )
    return path
