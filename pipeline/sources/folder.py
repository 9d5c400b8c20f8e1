"""A folder on this machine."""

from pathlib import Path

from pipeline.core.errors import SourceError
from pipeline.core.paths import Paths
from pipeline.core.source_parameters import FolderSource


def fetch(source: FolderSource, paths: Paths) -> Path:
    path = paths.home / source.path
    if not path.is_dir():
        raise SourceError(
            f"{path}: {'is no folder' if path.exists() else 'no such folder'}; params.yaml: "
            f"projects.{paths.project}.collect.sources names it. Put the folder there or correct the path "
            "(it is relative to the repository's root)."
        )
    return path
