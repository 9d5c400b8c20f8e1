"""A folder whose content DVC keeps: PATH.dvc is in git, the content in DVC's cache or remote."""

import subprocess
import sys
from pathlib import Path

from pipeline.core.errors import SourceError
from pipeline.core.paths import Paths
from pipeline.core.source_parameters import DvcFileSource, DvcSource


def fetch(source: DvcSource, paths: Paths) -> Path:
    path = pulled(source, paths)
    if not path.is_dir():
        raise SourceError(
            f"{path}: is no folder, though DVC tracks it; params.yaml: "
            f"projects.{paths.project}.collect.sources names it. Track a folder of images."
        )
    return path


def pulled(source: DvcSource | DvcFileSource, paths: Paths) -> Path:
    """The file or folder that DVC tracks, brought here if need be."""
    path = paths.home / source.path
    tracked = path.with_name(f"{path.name}.dvc")
    if not tracked.is_file():
        raise SourceError(
            f"{tracked}: no such file, so DVC does not know {source.path}; params.yaml: "
            f"projects.{paths.project}.collect.sources names it. Run `dvc add {source.path}`, or correct the "
            "path (it is relative to the repository's root)."
        )
    if not path.exists():
        _pull(source.path, paths.home)
    return path


def _pull(path: str, home: Path) -> None:
    command = [sys.executable, "-m", "dvc", "pull", f"{path}.dvc"]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in lines if line.startswith("ERROR")), "no reason given")
        raise SourceError(
            f"{path}: is not here, and `dvc pull {path}.dvc` could not bring it ({reason}). Check the remote "
            "with `dvc remote list` and the network, then run again."
        )
