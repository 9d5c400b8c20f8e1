"""What Prometheus is shown when several processes count."""

import os
import subprocess
import sys
from pathlib import Path

from tests.serving.conftest import ROOT

# A worker that is killed, and the one that takes its place.
KILLED = """
import os, signal
from serving.metrics import exposition, metrics
killed = os.fork()
metrics().log_waiting.set(2 if killed else 40)
metrics().log_dropped.inc(3)
if not killed:
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(killed, 0)
print(exposition()[0].decode())
"""


def test_what_a_killed_worker_said_of_itself_ends_with_it(tmp_path: Path) -> None:
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", KILLED], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert "fullcycle_prediction_log_waiting 2.0\n" in done.stdout
    assert "fullcycle_prediction_log_dropped_total 6.0\n" in done.stdout, "what happened, happened"
