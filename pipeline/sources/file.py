"""A file on this machine."""

from pathlib import Path

from pipeline.core.errors import SourceError
from pipeline.core.paths import Paths
from pipeline.core.source_parameters import FileSource


def fetch(source: FileSource, paths: Paths) -> Path:
    path = paths.home / source.path
    if not path.is_file():
        raise SourceError(
            f"{path}: no such file; params.yaml: projects.{paths.project}.collect.sources names it. "
            "Put the file there or correct the path (it is relative to the repository's root)."
        )
    return path
