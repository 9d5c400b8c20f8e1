"""`fullcycle serve`: what was deployed, until somebody presses Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from pipeline.core.artifacts import write_json
from pipeline.service.service_process import free_port
from tests.serving.conftest import ROOT
from tests.serving.pictures import digit, encoded

MAIN = "from pipeline.cli import main; main()"


def test_what_was_deployed_is_served_until_ctrl_c(bento_tag: str, tmp_path: Path) -> None:
    write_json(tmp_path / "reports" / "digits" / "deployment.json", {"bento_tag": bento_tag})
    port, log = free_port(), tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "serve", "digits", "--port", str(port)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        assert ask(url, process, log)["model"]["version"] == "3"
        assert f"{bento_tag} on {url}" in log.read_text()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert "Traceback" not in log.read_text()
        assert (tmp_path / "predictions" / "digits.db").is_file()
    finally:
        process.kill()
        process.wait()


def ask(url: str, process: subprocess.Popen[bytes], log: Path) -> Any:
    """The answer about a picture, once it is ready."""
    with httpx.Client(base_url=url, trust_env=False, timeout=10) as client:
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            try:
                if client.get("/readyz").status_code == 200:
                    headers = {"content-type": "image/png"}
                    return client.post("/predict", content=encoded(digit()), headers=headers).json()
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    raise AssertionError(log.read_text())
