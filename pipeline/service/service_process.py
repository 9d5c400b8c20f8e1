"""A Bento served for the length of a `with` block, and gone for sure after it."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil

from pipeline.core.errors import ServiceError
from pipeline.core.serve_parameters import REGISTRY_VARIABLE, TOKEN_VARIABLES, UNLIMITED_VARIABLE
from pipeline.service import bento

HOST = "127.0.0.1"
READY_SECONDS = 60.0  # a first start on a cold disk reads hundreds of MB of libraries
LOOK_SECONDS = 0.02  # between two looks whether it is ready; a look costs next to nothing
STOP_SECONDS = 10.0  # for answering what is under way and writing the prediction log
MARK = "FULLCYCLE_SERVICE_ID"  # environment variable by which every process of the service is found
LOG_LINES = 20
MIB = 1 << 20


@dataclass
class RunningService:
    """url: without a slash at the end; ready_seconds: from the start of its process until it was ready;
    left: after the block, how many of its processes did not end when they were asked to, and were ended."""

    url: str
    ready_seconds: float
    mark: str
    left: int | None = None

    def memory_mib(self) -> float:
        """Resident memory of all its processes. What several of them share counts for each."""
        return sum(process.memory_info().rss for process in _processes(self.mark)) / MIB

    def processes_with(self, package: str) -> int:
        """How many of its processes have loaded a library of the Python package."""
        return sum(
            any(f"/{package}/" in mapped.path for mapped in process.memory_maps())
            for process in _processes(self.mark)
        )


@contextmanager
def serving(bento_tag: str, environment: dict[str, str], port: int | None = None) -> Iterator[str]:
    """As `running`; yields the URL alone."""
    with running(bento_tag, environment, port) as service:
        yield service.url


@contextmanager
def running(bento_tag: str, environment: dict[str, str], port: int | None = None) -> Iterator[RunningService]:
    """Serves a Bento on a free port (or `port`) of 127.0.0.1; the block begins when it is ready.

    It goes on with the model that it holds, unless `environment` names a registry to follow.

    A termination signal ends the block like an exception, so that the service never outlives it.
    ServiceError, with the last lines of its log, when it does not start or does not go away.
    """
    with tempfile.TemporaryDirectory(prefix="fullcycle-service-") as folder, _termination_as_exception():
        scratch = Path(folder)
        port = port or free_port()
        if not _port_is_free(port):
            raise ServiceError(f"Port {port} of {HOST} is in use. Stop what listens there or take another.")
        mark = uuid.uuid4().hex
        log = scratch / "service.log"
        command = [sys.executable, "-m", "bentoml", "serve", bento_tag, "--host", HOST, "--port", str(port)]
        home = {"BENTOML_HOME": str(_private_home(scratch))}
        began = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=scratch,
                env=_of_this_machine() | {REGISTRY_VARIABLE: ""} | environment | home | {MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait_until_ready(process, port, log, bento_tag)
            service = RunningService(f"http://{HOST}:{port}", time.monotonic() - began, mark)
            yield service
        finally:
            left = _stop(process, mark)
        service.left = left
        if not _port_is_free(port):
            raise ServiceError(f"Port {port} is still held after {bento_tag} was stopped.\n{_tail(log)}")


def _of_this_machine() -> dict[str, str]:
    """The environment without the tokens and limits that are for the service's real clients: this one asks
    as nobody in particular, as fast as it can, and nobody else can reach it."""
    kept = {name: value for name, value in os.environ.items() if name not in TOKEN_VARIABLES.values()}
    return kept | {UNLIMITED_VARIABLE: "yes"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _private_home(scratch: Path) -> Path:
    """The stores of the Bento home under another roof.

    A service that starts empties the home's folder of metrics, and with it those of every other
    service that runs from the same home.
    """
    shared = bento.home()
    home = scratch / "home"
    home.mkdir()
    for store in ("bentos", "models"):
        (home / store).symlink_to(shared / store)
    return home


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path, bento_tag: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServiceError(f"{bento_tag} ended with code {process.returncode} at once.\n{_tail(log)}")
        if _is_ready(port):
            return
        time.sleep(LOOK_SECONDS)
    raise ServiceError(f"{bento_tag} was not ready after {READY_SECONDS:.0f} s.\n{_tail(log)}")


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    return "Its last lines:\n" + "\n".join(f"  {line}" for line in lines)


def _stop(process: subprocess.Popen[bytes], mark: str) -> int:
    """Asks the service to end, then ends every process that carries its mark; gives their number.

    The workers are in sessions of their own and outlive a parent that is killed: neither the
    process group nor the tree finds them all.
    """
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    left = _processes(mark)
    for found in left:
        found.kill()
    process.kill()
    process.wait()
    psutil.wait_procs(left, STOP_SECONDS)
    return len(left)


def _processes(mark: str) -> list[psutil.Process]:
    return [found for found in psutil.process_iter() if _carries(found, mark)]


def _carries(found: psutil.Process, mark: str) -> bool:
    try:
        return found.environ().get(MARK) == mark
    except psutil.Error:  # gone, or another user's
        return False


@contextmanager
def _termination_as_exception() -> Iterator[None]:
    def stop(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
