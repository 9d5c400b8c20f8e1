"""A file that DVC keeps: PATH.dvc is in git, the file in DVC's cache or remote."""

from pathlib import Path

from pipeline.core.errors import SourceError
from pipeline.core.paths import Paths
from pipeline.core.source_parameters import DvcFileSource
from pipeline.sources.dvc import pulled


def fetch(source: DvcFileSource, paths: Paths) -> Path:
    path = pulled(source, paths)
    if not path.is_file():
        raise SourceError(
            f"{path}: is no file, though DVC tracks it; params.yaml: "
            f"projects.{paths.project}.collect.sources names it. Name a file that DVC tracks by itself."
        )
    return path
