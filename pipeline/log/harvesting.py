"""What `fullcycle harvest` needs in every task: the log, and an inbox that nobody else fills meanwhile."""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from pipeline.core import inbox
from pipeline.core.errors import DiskFull, ServiceError, SourceError, is_disk_full
from pipeline.core.paths import Paths
from pipeline.log import prediction_log


@contextmanager
def harvesting(paths: Paths) -> Iterator[tuple[str, Path]]:
    """(URL of the prediction log, the inbox); waits while another process fills the inbox.

    ParameterError: there is no log; ServiceError: it cannot be read or changed; and those of `alone`. What
    was brought by then stays, and the next time goes on from there.
    """
    log_url = prediction_log.existing(paths)
    try:
        with alone(paths) as folder:
            yield log_url, folder
    except SQLAlchemyError as error:
        raise ServiceError(
            f"The prediction log {prediction_log.shown(log_url)} could not be read or changed: {error}. "
            "Run the same command again when it can."
        ) from None


@contextmanager
def alone(paths: Paths) -> Iterator[Path]:
    """The inbox of the repository, which no other process of ours writes meanwhile; waits for one.

    DiskFull; SourceError: it cannot be written.
    """
    try:
        folder = inbox.opened(Paths(paths.home, paths.project))
        with (folder.parent / ".inbox.lock").open("w") as file:  # beside it: DVC watches what is in it
            fcntl.flock(file, fcntl.LOCK_EX)
            yield folder
    except OSError as error:
        if is_disk_full(error):
            raise DiskFull(f"{paths.inbox}: no room is left ({error}). Free some and run it again.") from None
        raise SourceError(f"{paths.inbox}: cannot be written ({error}). Run it again when it can.") from None


def next_step(sources: Sequence[Any], project: str) -> str:
    """What to do with what the inbox holds. sources: of the project, as params.yaml declares them"""
    if any(source.kind == "inbox" for source in sources):
        return f"  Then: dvc repro review@{project}"
    return (
        f"  Nothing reads it: params.yaml: projects.{project}.collect.sources has no source of kind "
        "inbox. The shipped projects show one."
    )
