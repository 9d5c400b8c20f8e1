"""What is left of a service that does not end as it should."""

import os
import subprocess
import sys
import uuid

import psutil
import pytest

from pipeline.service import service_process
from pipeline.service.service_process import MARK

# A parent whose worker is in a session of its own and outlives it, as BentoML's do.
ORPHANING = """
import subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print(worker.pid, flush=True)
time.sleep(60)
"""
OBEDIENT = "import time; print(0, flush=True); time.sleep(60)"


@pytest.mark.parametrize(("program", "left"), [(ORPHANING, 1), (OBEDIENT, 0)])
def test_what_did_not_end_when_it_was_asked_to_is_ended_and_counted(program: str, left: int) -> None:
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=os.environ | {MARK: mark}, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    process.stdout.close()
    assert service_process._stop(process, mark) == left
    assert process.returncode is not None
    assert not worker or not psutil.pid_exists(worker) or psutil.Process(worker).status() == "zombie"
    assert service_process._processes(mark) == []
