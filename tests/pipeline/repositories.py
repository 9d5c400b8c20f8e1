"""A repository of its own, with the project's code and other parameters, in which `dvc repro` can run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.imports import ROOT

Dvc = Callable[..., subprocess.CompletedProcess[str]]
IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@example.org")


def make(tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any]) -> tuple[Path, Dvc]:
    """The folder, committed to git with `content` as params.yaml, and how to run a command in it."""
    folder, elsewhere = tmp_path_factory.mktemp("repository"), tmp_path_factory.mktemp("stores")
    for name in ("pipeline", "serving", "labels"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "registry").mkdir()
    for name in ("dvc.yaml", "registry/dvc.yaml", "bentofile.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "BENTOML_HOME": str(elsewhere / "bentoml"),
        "DVC_SITE_CACHE_DIR": str(elsewhere / "dvc"),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    # A stage run in this process by another test has left its own store there.
    environment.pop("MLFLOW_TRACKING_URI", None)

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=2400, check=False
        )

    for command in (
        ("git", "init", "--quiet"),
        ("dvc", "init", "--quiet"),
        ("cp", "-r", str(ROOT / ".dvc/plots"), ".dvc"),
        ("git", "add", "."),
        ("git", *IDENTITY, "commit", "--quiet", "--message", "start"),
    ):
        done = run(*command)
        assert done.returncode == 0, done.stderr
    return folder, run
