"""The command line `fullcycle`, in this process or in one of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import cli
from tests.imports import ROOT

Command = Callable[..., tuple[int, str, str]]  # words -> exit code, output, errors


def exit_code(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Of `fullcycle WORDS`, in this process and its working folder; capsys has what it says."""
    monkeypatch.setattr(sys, "argv", ["fullcycle", *words])
    try:
        cli.main()
    except SystemExit as ended:
        assert ended.code is None or isinstance(ended.code, int)
        return ended.code or 0
    return 0


def fullcycle(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`fullcycle WORDS` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from pipeline.cli import main; main()", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
