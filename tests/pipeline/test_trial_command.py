"""`fullcycle trial`: what it tells, when it promotes, and how a trial ends; from the log to the registry."""

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy
import yaml

from pipeline.champion import alias_history, champions
from pipeline.core import quiet, registry
from pipeline.core.paths import Paths
from pipeline.core.registry import CHALLENGER, CHAMPION, Version
from pipeline.log import prediction_log, prediction_log_url, trial_log
from pipeline.trial import trial_evidence
from tests.command_line import exit_code
from tests.pipeline import candidates
from tests.pipeline.candidates import aliases, client, model, run

ANSWERS = 400
THEN = datetime.now(UTC) - timedelta(days=3)


class Said(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def registered(
    tmp_path_factory: pytest.TempPathFactory, small_parameters: tuple[dict, Path], empty_store: Path
) -> Path:
    """A champion, version 1, and a challenger, version 2, that waits for a person."""
    content, _ = small_parameters
    content = copy.deepcopy(content)
    digits = content["projects"]["digits"]
    digits["serve"]["trial"] |= {"answers_min": 200, "feedback_min": 100}
    root = tmp_path_factory.mktemp("registered")
    (root / "params.yaml").write_text(yaml.safe_dump({"projects": {"digits": digits}}, sort_keys=False))
    shutil.copy(empty_store, root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for name, value in quiet.SWITCHES.items():
            patch.setenv(name, value)
        paths = candidates.make(root)
        run(paths)
        candidates.parameters(paths, approval="required", margin=0.05)
        model(paths, seed=0, scale=2)
        run(paths)
        assert aliases(paths) == {"champion": "1", "challenger": "2"}
    return root


@pytest.fixture
def two(registered: Path, tmp_path: Path) -> Paths:
    return Paths(shutil.copytree(registered, tmp_path / "repository"), "digits")


@pytest.fixture
def trial(
    two: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """`fullcycle trial digits` with some options."""
    monkeypatch.delenv("FULLCYCLE_PREDICTION_LOG", raising=False)

    def run_words(*words: str) -> Said:
        monkeypatch.chdir(two.root)
        capsys.readouterr()
        code = exit_code(monkeypatch, "trial", "digits", *words)
        told = capsys.readouterr()
        return Said(code, told.out, told.err)

    return run_words


def challenger(paths: Paths) -> Version:
    found = registry.by_alias(client(paths), "digits", CHALLENGER)
    assert found is not None
    return found


@pytest.fixture
def engine(two: Paths) -> Iterator[sqlalchemy.Engine]:
    two.prediction_log.parent.mkdir()
    made = prediction_log.engine(prediction_log_url.url(two))
    prediction_log.metadata.create_all(made)
    yield made
    made.dispose()


def log(
    engine: sqlalchemy.Engine, paths: Paths, *, answers: int = ANSWERS, feedback: bool = True, wrong: int = 0
) -> None:
    """A trial in silence in which the challenger agrees with the champion, but for `wrong` answers that the
    champion has right."""
    rows: dict[str, list[dict[str, Any]]] = {"predictions": [], "feedback": [], "trials": []}
    for i in range(answers):
        at, id_ = THEN + timedelta(seconds=i), f"{i:032x}"
        rows["predictions"].append(
            {"id": id_, "at": at, "project": "digits", "model_version": "1", "label": "7",
             "confidence": 0.9, "probabilities": {}, "properties": {}}
        )  # fmt: skip
        rows["feedback"].append({"prediction_id": id_, "label": "7", "at": at + timedelta(minutes=5)})
        rows["trials"].append(
            {"id": id_, "at": at, "project": "digits", "challenger": challenger(paths).sha256,
             "challenger_version": "2", "champion_version": "1", "model_version": "2", "role": "shadow",
             "prediction_id": id_, "part": 0, "unit": f"{i:016x}",
             "answer": {"label": "1" if i < wrong else "7", "confidence": 0.9}, "champion_answer": None,
             "latency_ms": 1.2, "champion_ms": 1.0, "error": None}
        )  # fmt: skip
    if not feedback:
        del rows["feedback"]
    with engine.begin() as connection:
        for table, values in rows.items():
            connection.execute(prediction_log.metadata.tables[table].insert(), values)


def test_it_tells_what_was_found_and_promotes_on_it(
    two: Paths, trial: Callable[..., Said], engine: sqlalchemy.Engine
) -> None:
    log(engine, two)
    said = trial()
    assert said.returncode == 0
    assert "version 2 beside the champion, version 1" in said.stdout
    assert "400 answers as shadow, 0 as canary" in said.stdout
    assert "It would be promoted" in said.stdout
    told = json.loads(trial("--json").stdout)
    assert (told["promotes"], told["quality"]["outcome"], told["failed"]) == (True, "not worse", 0)
    said = trial("--promote", "--why", "three days on the tills")
    assert said.returncode == 0, said.stderr
    assert aliases(two) == {"champion": "2", "previous": "1"}
    last = alias_history.read(client(two), two).changes
    assert "three days on the tills; on the evidence of its trial: 1.0000" in last[-1].why


@pytest.mark.parametrize(
    ("logged", "told"),
    [
        ({"feedback": False}, "there is no feedback"),
        ({"wrong": 40}, "could not be shown to be worse by less than register.margin (0.05)"),
    ],
)
def test_it_refuses_without_evidence(
    two: Paths, trial: Callable[..., Said], engine: sqlalchemy.Engine, logged: dict[str, Any], told: str
) -> None:
    log(engine, two, **logged)
    said = trial("--promote")
    assert said.returncode == 4 and told in said.stderr
    assert "It would not be promoted" in trial().stdout
    assert aliases(two) == {"champion": "1", "challenger": "2"}


def test_who_is_withdrawn_while_the_evidence_is_read_is_not_promoted(
    two: Paths, trial: Callable[..., Said], engine: sqlalchemy.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(engine, two)
    judge = trial_evidence.judge

    def meanwhile(*arguments: Any) -> Any:
        champions.withdraw(client(two), two, challenger(two), "reads 7 as 1")
        return judge(*arguments)

    monkeypatch.setattr(trial_evidence, "judge", meanwhile)
    said = trial("--promote")
    assert said.returncode == 4 and "no challenger any more" in said.stderr
    assert aliases(two) == {"champion": "1"}


def test_nothing_logged_is_told(two: Paths, trial: Callable[..., Said]) -> None:
    said = trial()
    assert said.returncode == 0 and "Nothing is logged of a trial" in said.stdout
    assert trial("--promote").returncode == 4


def test_evidence_beside_another_champion_does_not_count(
    two: Paths, trial: Callable[..., Said], engine: sqlalchemy.Engine
) -> None:
    log(engine, two, answers=1)
    with engine.begin() as connection:
        connection.execute(trial_log.trials.update().values(champion_version="0"))
    assert "Nothing is logged of a trial" in trial().stdout


def test_what_misses_its_own_goals_is_not_promoted_on_a_trial(
    two: Paths, trial: Callable[..., Said], engine: sqlalchemy.Engine
) -> None:
    log(engine, two, answers=1)
    registry.retag(client(two), challenger(two), {"gates": "fail"})
    said = trial("--promote")
    assert said.returncode == 4 and "it misses goals of its own" in said.stderr


def test_a_stop_is_told_and_lifted_and_then_counts_no_more(
    two: Paths, trial: Callable[..., Said], engine: sqlalchemy.Engine
) -> None:
    log(engine, two, answers=1)
    stop = {"id": "s", "at": THEN, "project": "digits", "challenger": challenger(two).sha256,
            "challenger_version": "2", "reason": "3 of 3 answers failed"}  # fmt: skip
    with engine.begin() as connection:
        connection.execute(trial_log.trial_stops.insert(), stop)
    assert "STOPPED    3 of 3 answers failed" in trial().stdout
    said = trial("--promote")
    assert said.returncode == 4 and "it is stopped: 3 of 3 answers failed" in said.stderr
    assert trial("--resume").returncode == 2
    assert trial("--resume", "--why", "the disk was full").returncode == 0
    assert "Nothing is logged of a trial" in trial().stdout
    assert trial("--resume", "--why", "again").returncode == 6


def test_a_withdrawn_challenger_stays_withdrawn(two: Paths, trial: Callable[..., Said]) -> None:
    assert trial("--withdraw").returncode == 2
    gone = challenger(two)
    assert trial("--withdraw", "--why", "too slow on the tills").returncode == 0
    assert aliases(two) == {"champion": "1"}
    run(two)  # `dvc repro` registers the same model again
    assert aliases(two) == {"champion": "1"}
    last = alias_history.read(client(two), two).changes[-1]
    assert (last.action, last.alias, last.old, last.new) == ("taken out", "challenger", gone, None)
    said = trial()
    assert said.returncode == 6 and "has no challenger, so nothing is tried" in said.stderr
    champion = registry.by_alias(client(two), "digits", CHAMPION)
    champions.promote(client(two), two, gone, champion, "it was the network cable")
    assert aliases(two) == {"champion": "2", "previous": "1"}
