"""Everything that stops fullcycle on purpose.

    FullcycleError          exit code 1
    ├── ParameterError      exit code 2   params.yaml or a command line is wrong
    ├── SourceError         exit code 3   data cannot be brought, or is not what was declared
    ├── GateFailed          exit code 4   a stated requirement does not hold
    ├── DiskFull            exit code 5   no room to write
    ├── ModelError          exit code 6   a model is missing, damaged or not what it claims
    │   └── IncompatibleModel             a sound one, made for other data or other code than these
    ├── ServiceError        exit code 7   a service does not start, answer or agree
    └── TrackingError       exit code 8   the MLflow store cannot be reached
    Interrupted             exit code 130 (Ctrl-C) or 143 (SIGTERM), as shells have them; no failure

A message says what is wrong, where, which value was met, what is allowed, and what to do next.
"""

import errno
import signal


class FullcycleError(Exception):
    """A failure with a message for the person at the keyboard; no traceback is shown."""

    exit_code = 1


class ParameterError(FullcycleError):
    exit_code = 2


class SourceError(FullcycleError):
    exit_code = 3


class GateFailed(FullcycleError):
    exit_code = 4


class DiskFull(FullcycleError):
    exit_code = 5


class ModelError(FullcycleError):
    exit_code = 6


class IncompatibleModel(ModelError):
    """A sound model, made for other data or by other code than those at hand."""


class ServiceError(FullcycleError):
    exit_code = 7


class TrackingError(FullcycleError):
    exit_code = 8


class Interrupted(BaseException):
    """A signal asked the process to end. Like KeyboardInterrupt, no `except Exception` catches it."""

    def __init__(self, number: int, reached: str = "") -> None:
        """number: of the signal; reached: how far the work has come, for the person at the keyboard"""
        super().__init__(f"interrupted by {signal.Signals(number).name}{reached}")
        self.exit_code = 128 + number


DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
# How SQLite (and MLflow, which wraps it), the C library, NumPy and PyTorch say it.
DISK_FULL_WORDS = (
    "database or disk is full",
    "No space left on device",
    "Not enough free space to write",
    "requested and 0 written",
    "PytorchStreamWriter failed writing file",
)


def is_disk_full(error: BaseException | None) -> bool:
    """Whether `error`, or an error that it was raised from, says that no room is left."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK_FULL_ERRNOS:
            return True
        if any(words in str(error) for words in DISK_FULL_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
