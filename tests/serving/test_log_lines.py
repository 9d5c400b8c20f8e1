"""What the service says of itself: not on the request's time, and not lost."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from serving import log_lines
from serving.image_application import ImageState
from serving.image_model import ImageModel
from serving.log_lines import LogLines
from tests.imports import ROOT
from tests.serving.asgi_client import AsgiClient
from tests.serving.pictures import digit


class SlowTerminal(logging.Handler):
    """Takes its time for each line, as a terminal over a slow line does."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self.threads: set[str] = set()
        self.go_on = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.threads.add(threading.current_thread().name)
        self.go_on.wait(10)
        self.lines.append(self.format(record))


@pytest.fixture
def terminal() -> Iterator[SlowTerminal]:
    made = SlowTerminal()
    logging.getLogger("serving").addHandler(made)
    yield made
    made.go_on.set()
    logging.getLogger("serving").removeHandler(made)


def test_a_failed_request_does_not_wait_for_its_line(
    client: AsgiClient, monkeypatch: pytest.MonkeyPatch, terminal: SlowTerminal
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(ImageModel, "probabilities", fail)
    lines = LogLines()
    try:
        began = time.perf_counter()
        for _ in range(3):
            assert client.post("/predict", json={"pixels": digit().tolist()}).status_code == 500
        assert time.perf_counter() - began < 5
        assert not terminal.lines
    finally:
        terminal.go_on.set()
        lines.close()
    assert len(terminal.lines) == 3
    assert all("RuntimeError: no such luck" in line and "Traceback" in line for line in terminal.lines)
    assert threading.current_thread().name not in terminal.threads


def test_a_log_that_fails_does_not_hold_up_feedback(
    state: ImageState, client: AsgiClient, terminal: SlowTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(type(state.log), "_insert_feedback", full)
    lines = LogLines()
    try:
        answer = client.post("/feedback", json={"prediction_id": "0" * 32, "label": "4"})
        assert answer.status_code == 503
        assert not terminal.lines
    finally:
        terminal.go_on.set()
        lines.close()
    assert any("disk full" in line for line in terminal.lines)


def test_what_is_too_much_to_wait_is_written_at_once(
    terminal: SlowTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_lines, "LINES_MAX", 5)
    terminal.go_on.set()
    lines = LogLines()
    for i in range(50):
        logging.getLogger("serving").error("line %d", i)
    lines.close()
    assert sorted(terminal.lines) == sorted(f"line {i}" for i in range(50))


def test_levels_and_handlers_are_what_they_were(terminal: SlowTerminal) -> None:
    terminal.go_on.set()
    lines = LogLines()
    logging.getLogger("serving").info("not for this terminal")
    lines.close()
    lines.close()
    assert terminal in logging.getLogger("serving").handlers
    logging.getLogger("serving").error("written by who says it")
    assert terminal.lines == ["written by who says it"]
    assert threading.current_thread().name in terminal.threads


ENDS = """
import logging
logging.basicConfig()
from serving.log_lines import LogLines
LogLines()
for i in range(200):
    logging.error("line %d", i)
"""


def test_lines_are_written_before_the_process_ends() -> None:
    done = subprocess.run([sys.executable, "-c", ENDS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == [f"ERROR:root:line {i}" for i in range(200)]
