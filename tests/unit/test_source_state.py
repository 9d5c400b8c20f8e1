"""Whether a pass was made from what is committed."""

import subprocess
from pathlib import Path

import pytest

from pipeline.core.source_state import source_state

WRITTEN = ("dvc.lock", "registry/dvc.lock", "reports/digits/verdict.json")
SOURCES = ("params.yaml", "dvc.yaml", "registry/dvc.yaml", "pipeline/train.py")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in (*WRITTEN, *SOURCES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as committed\n")
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    for words in (("init", "-q"), ("add", "-A"), (*who, "commit", "-qm", "all")):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.parametrize("name", WRITTEN)
def test_what_a_pass_writes_itself_changes_nothing(repository: Path, name: str) -> None:
    before = source_state(repository)
    assert before.clean and len(before.commit) == 40
    (repository / name).write_text("as a stage left it\n")
    assert source_state(repository) == before


@pytest.mark.parametrize("name", SOURCES)
def test_what_a_person_changes_is_another_state(repository: Path, name: str) -> None:
    before = source_state(repository)
    (repository / name).write_text("as somebody edited it\n")
    found = source_state(repository)
    assert not found.clean and found.commit == before.commit and found.key != before.key


def test_outside_git_the_parameters_alone_tell(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("projects: {}\n")
    found = source_state(tmp_path)
    assert found.commit == "unknown" and len(found.params) == 64
