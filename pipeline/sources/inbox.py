"""data/P/inbox: what production captured. It may be empty, and it grows."""

from pathlib import Path

from pipeline.core import inbox
from pipeline.core.paths import Paths
from pipeline.core.source_parameters import InboxSource


def fetch(source: InboxSource, paths: Paths) -> Path:
    """That of the repository, also where `dvc exp run --temp` works in a copy of it."""
    return inbox.opened(Paths(paths.home, paths.project))
