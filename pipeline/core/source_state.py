"""Which commit, code and parameters a pass through the pipeline was made from."""

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Files that a pass itself rewrites; they do not make a tree "changed".
WRITTEN_BY_STAGES = (":!dvc.lock", ":!registry/dvc.lock", ":!reports")


@dataclass(frozen=True)
class SourceState:
    """commit: 40 hex digits or "unknown" outside git; clean: no uncommitted change to tracked files;
    params: SHA-256 of params.yaml; key: 12 hex digits that name this state."""

    commit: str
    clean: bool
    params: str
    key: str


def source_state(root: Path) -> SourceState:
    commit = _git(root, "rev-parse", "HEAD").strip() or "unknown"
    changes = _git(root, "diff", "HEAD", "--", ".", *WRITTEN_BY_STAGES)
    params = hashlib.sha256((root / "params.yaml").read_bytes()).hexdigest()
    key = hashlib.sha256("\0".join([commit, changes, params]).encode()).hexdigest()[:12]
    return SourceState(commit=commit, clean=not changes, params=params, key=key)


def _git(root: Path, *arguments: str) -> str:
    """Standard output of git, empty where there is no git, no repository or no commit yet."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""
