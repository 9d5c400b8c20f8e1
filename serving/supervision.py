"""Workers that are replaced soon after they die, and that do not outlive who started them.

`bentoml serve` is one process that listens and starts workers, which answer. It looks after them every ten
seconds, too seldom for a worker that was killed to be back in ten; and a worker whose parent was killed
goes on alone, on the same port, where the next service then cannot start.
"""

import logging
import os
import signal
import threading
import time
from typing import Any

logger = logging.getLogger(__name__)

SUPERVISOR = "FULLCYCLE_SUPERVISOR"  # environment variable of workers: the process that started them
CHECK_SECONDS = 0.5  # between two looks, of the parent at its workers and of a worker at its parent
END_SECONDS = 30.0  # for answering what is under way and writing the log; a body may take as long to come


def supervise() -> None:
    """In the process that starts the workers, before it does."""
    from bentoml._internal.utils import circus

    class Supervisor(circus.Arbiter):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **(options | {"check_delay": CHECK_SECONDS}))

    circus.Arbiter = Supervisor  # type: ignore[misc]
    os.environ[SUPERVISOR] = str(os.getpid())


def follow() -> None:
    """In a worker: when the process that started it is gone it ends, as if it had been asked to."""
    supervisor = os.environ.get(SUPERVISOR)
    if supervisor is not None:
        threading.Thread(target=_watch, args=(int(supervisor),), name="supervisor", daemon=True).start()


def _watch(supervisor: int) -> None:
    while os.getppid() == supervisor:
        time.sleep(CHECK_SECONDS)
    logger.error("The process %d that started this worker is gone: the worker ends.", supervisor)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
