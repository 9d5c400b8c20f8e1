"""The command line: clear answers, exit codes that scripts can use."""

import json
import socket
from pathlib import Path

import pytest

from pipeline.core.artifacts import write_json
from pipeline.service.service_process import free_port
from tests.command_line import fullcycle
from tests.imports import ROOT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


def test_a_project_that_never_ran_is_not_deployed(project: Path) -> None:
    done = fullcycle(project, "verdict", "digits", "--json")
    verdict = json.loads(done.stdout)["digits"]
    assert done.returncode == 0 and verdict["outcome"] == "revisit" and verdict["phase"] == "planning"
    assert "stage plan has left no evidence. Run `dvc repro`." in verdict["sentence"]


def test_unknown_projects_and_folders_without_parameters_are_told(project: Path, tmp_path: Path) -> None:
    done = fullcycle(project, "verdict", "cats")
    assert done.returncode == 2 and "no project 'cats'" in done.stderr and "digits" in done.stderr
    for verb in (["serve", "digts"], ["history", "digts"], ["forget", "digts", "--before", "2026-01-01"]):
        done = fullcycle(project, *verb)
        assert done.returncode == 2, verb
        assert "no project 'digts' (did you mean 'digits'?). There are: digits, retail" in done.stderr
    done = fullcycle(project, "verdict")
    assert done.returncode == 2 and "name a project of params.yaml (digits, retail)" in done.stderr
    (tmp_path / "empty").mkdir()
    done = fullcycle(tmp_path / "empty", "verdict", "--all")
    assert done.returncode == 2 and "Run from the repository's root" in done.stderr


def test_serving_what_was_never_deployed(project: Path) -> None:
    done = fullcycle(project, "serve", "digits")
    assert done.returncode == 6
    assert done.stderr.strip().endswith("Run `dvc repro deploy@digits` first.")
    write_json(project / "reports/digits/deployment.json", {"bento_tag": None, "reason": "refused"})
    assert fullcycle(project, "serve", "digits").returncode == 6


def test_serving_a_bento_that_is_not_there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(project / "reports/digits/deployment.json", {"bento_tag": "digits:v1"})
    monkeypatch.setenv("BENTOML_HOME", str(project / "bentos of nobody"))
    done = fullcycle(project, "serve", "digits", "--port", str(free_port()))
    assert done.returncode == 6 and "Traceback" not in done.stderr
    assert "digits:v1, which was deployed, is not in the Bento store" in done.stderr
    assert "bentos of nobody" in done.stderr and "dvc repro --force deploy@digits" in done.stderr


@pytest.mark.parametrize(
    ("place", "code", "told"),
    [
        (("--port", "70000"), 2, "--port 70000: a port is a number from 1 to 65535"),
        (("--host", "no.such.host.invalid"), 7, "no.such.host.invalid:3000 cannot be listened on"),
        (("--host", "no.such.host.invalid"), 7, "This machine has no such address."),
    ],
)
def test_a_place_that_cannot_be_served_at_is_told(
    project: Path, place: tuple[str, str], code: int, told: str
) -> None:
    write_json(project / "reports/digits/deployment.json", {"bento_tag": "digits:v1"})
    done = fullcycle(project, "serve", "digits", *place)
    assert done.returncode == code and told in done.stderr and "Traceback" not in done.stderr


def test_a_port_in_use_is_told_with_what_to_do(project: Path) -> None:
    write_json(project / "reports/digits/deployment.json", {"bento_tag": "digits:v1"})
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = fullcycle(project, "serve", "digits", "--port", str(port))
    assert done.returncode == 7 and "Traceback" not in done.stderr
    assert f"127.0.0.1:{port} cannot be listened on" in done.stderr and f"--port {port + 1}" in done.stderr
