"""A Bento that runs as it does in production, for tests that kill parts of it."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from pipeline.service import service_process
from pipeline.service.service_process import HOST, MARK, free_port


@dataclass
class Service:
    url: str
    port: int
    parent: subprocess.Popen[bytes]
    log: Path

    def worker(self) -> psutil.Process:
        """The process that answers."""
        (found,) = [
            child
            for child in psutil.Process(self.parent.pid).children()
            if "_bentoml_impl.worker.service" in child.cmdline()
        ]
        return found


@contextmanager
def started(bento_tag: str, folder: Path, log_url: str) -> Iterator[Service]:
    """A service that is ready; whatever is left of it is gone afterwards. folder: an empty one."""
    folder.mkdir()
    port, mark, log = free_port(), f"test-{os.getpid()}-{folder.name}", folder / "service.log"
    home = {"BENTOML_HOME": str(service_process._private_home(folder))}
    with log.open("wb") as output:
        parent = subprocess.Popen(
            [sys.executable, "-m", "bentoml", "serve", bento_tag, "--host", HOST, "--port", str(port)],
            cwd=folder,
            env=os.environ | home | {MARK: mark, "FULLCYCLE_PREDICTION_LOG": log_url},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        service_process._wait_until_ready(parent, port, log, bento_tag)
        yield Service(f"http://{HOST}:{port}", port, parent, log)
    finally:
        service_process._stop(parent, mark)


@dataclass
class Answer:
    status: int
    retry_after: str | None
    json: Any
    seconds: float  # with making the connection


def post(url: str, path: str, body: bytes, media_type: str = "image/png") -> Answer:
    """By a connection of its own. OSError, HTTPException: there was no answer."""
    address = urlsplit(url)
    began = time.monotonic()
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
    try:
        connection.request("POST", path, body, {"content-type": media_type})
        response = connection.getresponse()
        said = json.loads(response.read())
    finally:
        connection.close()
    return Answer(response.status, response.headers["retry-after"], said, time.monotonic() - began)


def seconds_until(reached: Callable[[], bool], at_most: float) -> float:
    """How long it took; AssertionError when it took longer."""
    began = time.monotonic()
    while not reached():
        assert time.monotonic() - began < at_most
        time.sleep(0.02)
    return time.monotonic() - began
