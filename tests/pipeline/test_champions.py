"""Who is champion, by whom and why; going back; waiting for a person; a registry that forgot."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline.champion import alias_history, champions, promotion, registry_state
from pipeline.champion.alias_history import History
from pipeline.core import model_package, registry
from pipeline.core.artifacts import read_json
from pipeline.core.errors import ModelError
from pipeline.core.paths import Paths
from pipeline.core.registry import CHAMPION
from tests.command_line import exit_code
from tests.conftest import run_stage
from tests.pipeline import candidates
from tests.pipeline.candidates import aliases, client, evaluated, model, run


@pytest.fixture
def two(paths: Paths) -> Paths:
    """Two champions, one after the other."""
    run(paths)
    model(paths, seed=0, scale=2)
    run(paths)
    return paths


class Said(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Said]


def told(paths: Paths) -> History:
    return alias_history.read(client(paths), paths)


def moves(history: History) -> list[tuple[str, str, str | None, str | None]]:
    return [
        (c.action, c.alias, c.old.version if c.old else None, c.new.version if c.new else None)
        for c in history.changes
    ]


@pytest.fixture
def fullcycle(two: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line in the project: words -> exit code, standard output and error."""

    def run_words(*words: str) -> Said:
        monkeypatch.chdir(two.root)
        capsys.readouterr()
        code = exit_code(monkeypatch, *words)
        told = capsys.readouterr()
        return Said(code, told.out, told.err)

    return run_words


def test_every_change_is_recorded_with_who_when_and_why(two: Paths) -> None:
    evaluated(two, passed=False)
    model(two, seed=0, scale=3)
    run(two)
    run(two)
    history = told(two)
    assert moves(history) == [
        ("promoted", "champion", None, "1"),
        ("replaced", "previous", None, "1"),
        ("promoted", "champion", "1", "2"),
        ("refused", "challenger", None, "3"),
    ]
    assert [change.at for change in history.changes] == sorted(change.at for change in history.changes)
    assert all(change.who and change.at.endswith("Z") for change in history.changes)
    assert "gates_of_evaluation_failed FAILS" in history.changes[-1].why


def test_a_rollback_takes_seconds_and_is_not_undone_by_the_next_pass(two: Paths) -> None:
    bad, good = champions.roll_back(client(two), two, "too slow on the tills")
    assert (bad.version, good.version) == ("2", "1")
    assert aliases(two) == {"champion": "1"}
    for _ in range(2):
        evidence, registered = run(two)
        assert registered["outcome"] == "refused" and registered["champion"]["version"] == "1"
        assert [gate.name for gate in evidence.failed] == ["rolled_back_by_a_person"]
        assert "too slow on the tills" in evidence.failed[0].remedy
        assert "fullcycle promote digits 2 --why" in evidence.failed[0].remedy
    assert aliases(two) == {"champion": "1", "challenger": "2"}
    champions.promote(client(two), two, bad, good, "the tills are new")
    _, registered = run(two)
    assert registered["outcome"] == "champion" and registered["promoted"]
    assert aliases(two) == {"champion": "2", "previous": "1"}
    assert [one.version for one in told(two).champions()] == ["1", "2"]


def test_a_second_rollback_goes_one_further_and_the_first_champion_stays(two: Paths) -> None:
    model(two, seed=0, scale=4)
    run(two)
    assert champions.roll_back(client(two), two, "a")[1].version == "2"
    assert aliases(two) == {"champion": "2", "previous": "1"}
    assert champions.roll_back(client(two), two, "b")[1].version == "1"
    with pytest.raises(
        ModelError, match="version 1 is the first champion of digits; there is none to go back"
    ):
        champions.roll_back(client(two), two, "c")
    assert aliases(two) == {"champion": "1"}


def test_there_is_no_going_back_to_a_model_whose_files_are_damaged(two: Paths) -> None:
    first = registry.by_number(client(two), "digits", "1")
    assert first is not None
    stored = Path(registry.stored_at(client(two), first).removeprefix("file://"))
    (stored / model_package.MLFLOW_NETWORK).write_bytes(b"damaged")
    with pytest.raises(ModelError, match="does not have the SHA-256"):
        champions.roll_back(client(two), two, "a")
    assert aliases(two)["champion"] == "2" and told(two).changes[-1].action == "promoted"


def test_without_a_champion_there_is_nothing_to_roll_back(paths: Paths) -> None:
    evaluated(paths, passed=False)
    run(paths)
    with pytest.raises(ModelError, match="has no champion"):
        champions.roll_back(client(paths), paths, "a")


def test_with_approval_a_good_version_waits_and_a_person_promotes_it(paths: Paths) -> None:
    candidates.parameters(paths, approval="required")
    for _ in range(2):
        evidence, registered = run(paths)
        assert (registered["outcome"], registered["champion"]) == ("waiting", None)
        (gate,) = evidence.failed
        assert gate.revisit == "deploying" and "fullcycle promote digits 1 --why" in gate.remedy
    assert aliases(paths) == {"challenger": "1"}
    assert moves(told(paths)) == [("waiting", "challenger", None, "1")]
    version = registry.by_number(client(paths), "digits", "1")
    assert version is not None
    champions.promote(client(paths), paths, version, None, "looked at the errors")
    assert aliases(paths) == {"champion": "1"}
    evidence, registered = run(paths)
    assert registered["outcome"] == "champion" and evidence.failed == []
    model(paths, seed=0, scale=2)
    _, registered = run(paths)
    assert registered["outcome"] == "waiting" and aliases(paths) == {"champion": "1", "challenger": "2"}


def test_what_others_moved_and_what_a_crash_left_is_found(
    two: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    client(two).set_registered_model_alias("digits", CHAMPION, "1")  # by hand, in MLflow's pages
    changes = champions.look(client(two), two).changes
    assert moves(History(changes))[-1] == ("found", "champion", "2", "1")
    with monkeypatch.context() as broken:
        broken.setattr(registry, "set_alias", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        version = registry.by_number(client(two), "digits", "2")
        assert version is not None
        with pytest.raises(KeyboardInterrupt):
            champions.promote(client(two), two, version, registry.champion(two), "again")
    assert aliases(two)["champion"] == "1"
    assert champions.look(client(two), two).last(CHAMPION) == registry.champion(two)
    assert champions.look(client(two), two) == champions.look(client(two), two)


def test_a_rollback_never_goes_to_a_model_whose_promotion_was_interrupted(
    two: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates.parameters(two, approval="required")
    model(two, seed=0, scale=3)
    run(two)
    third, champion = registry.by_number(client(two), "digits", "3"), registry.champion(two)
    assert third is not None and champion is not None and champion.version == "2"
    with monkeypatch.context() as broken:
        broken.setattr(registry, "set_alias", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            champions.promote(client(two), two, third, champion, "on the evidence of its trial")
    assert aliases(two)["champion"] == "2"
    assert [one.version for one in champions.look(client(two), two).champions()] == ["1", "2"]
    assert champions.roll_back(client(two), two, "reads 7 as 1")[1].version == "1"
    assert aliases(two)["champion"] == "1"


def test_who_moved_the_champion_back_by_hand_does_not_roll_back_to_what_he_left(two: Paths) -> None:
    model(two, seed=0, scale=3)
    run(two)
    client(two).set_registered_model_alias("digits", CHAMPION, "2")
    assert champions.roll_back(client(two), two, "2 is no better")[1].version == "1"
    model(two, seed=0, scale=4)
    run(two)
    client(two).set_registered_model_alias("digits", CHAMPION, "1")
    with pytest.raises(ModelError, match="version 1 is the first champion of digits"):
        champions.roll_back(client(two), two, "1 is no better")


def test_two_people_at_once_are_told(two: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    record = alias_history.record

    def meanwhile(*arguments: object) -> None:
        record(*arguments)  # type: ignore[arg-type]
        client(two).set_registered_model_alias("digits", CHAMPION, "1")

    model(two, seed=0, scale=5)
    with (
        monkeypatch.context() as at_once,
        pytest.raises(ModelError, match="'champion' of digits is version 1, not version 2: somebody else"),
    ):
        at_once.setattr(alias_history, "record", meanwhile)
        run(two)
    assert champions.look(client(two), two).last(CHAMPION) == registry.champion(two)


def test_who_was_compared_with_another_champion_is_not_promoted(
    two: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comparing takes a while; a rollback in that time must not be undone by it."""
    decide = promotion.decide

    def meanwhile(*arguments: Any) -> promotion.Decision:
        champions.roll_back(client(two), two, "it reads 7 as 1")
        return decide(*arguments)

    monkeypatch.setattr(promotion, "decide", meanwhile)
    model(two, seed=0, scale=5)
    with pytest.raises(ModelError, match="'champion' of digits is version 1, not version 2: somebody else"):
        run(two)
    assert aliases(two) == {"champion": "1"}


def test_a_registry_that_was_wiped_is_filled_again(two: Paths) -> None:
    """The candidate at hand is refused: without the history it would be taken for a first model."""
    before = told(two)
    model(two, seed=1)
    run(two)
    (two.root / "mlflow.db").unlink()
    done = run_stage("register", two.root)
    assert done.returncode == 0, done.stderr
    registered = read_json(two.reports / "registration.json")
    assert registered["outcome"] == "refused"
    assert registered["champion"]["sha256"] == before.champions()[-1].sha256
    assert "the registry had lost its champion, version 2; it was registered again as" in registered["reason"]
    kept = read_json(two.registry_copy / "history.json")
    shown = list(kept.values())
    assert {change["at"] for change in shown} > {change.at for change in before.changes}
    assert [one["action"] for one in shown][:3] == ["promoted", "replaced", "promoted"]
    restored = {one["alias"]: one["to"]["sha256"] for one in shown if one["action"] == "restored"}
    assert restored == {
        "champion": before.champions()[-1].sha256,
        "previous": before.champions()[0].sha256,
    }


def test_a_wiped_champion_whose_files_are_gone_makes_a_person_decide(two: Paths) -> None:
    model(two, seed=0, scale=6)
    (two.root / "mlflow.db").unlink()
    for stored in (two.root / "mlruns").rglob(model_package.MLFLOW_NETWORK):
        stored.unlink()
    done = run_stage("register", two.root)
    assert done.returncode == 0, done.stderr
    registered = read_json(two.reports / "registration.json")
    assert (registered["outcome"], registered["champion"]) == ("waiting", None)
    assert "whose files are gone too, so that a person must say what replaces it" in registered["reason"]


def test_the_command_line_shows_promotes_and_rolls_back(two: Paths, fullcycle: Command) -> None:
    shown = fullcycle("history", "digits")
    assert [one["alias"] for one in json.loads(fullcycle("history", "digits", "--json").stdout)] == [
        "champion",
        "previous",
        "champion",
    ]
    assert "champion    version 1 (" in shown.stdout and "promoted by" in shown.stdout
    back = fullcycle("rollback", "digits", "--why", "it reads 7 as 1")
    assert back.returncode == 0 and "version 1 (" in back.stdout and "dvc repro" in back.stdout
    assert fullcycle("rollback", "digits", "--why", " ").returncode == 2
    again = fullcycle("promote", "digits", "2", "--why", "it does not")
    assert again.returncode == 0 and "version 2 (" in again.stdout
    twice = fullcycle("promote", "digits", "2", "--why", "again")
    assert twice.returncode == 6 and "is the champion already" in twice.stderr
    none = fullcycle("promote", "digits", "9", "--why", "a")
    assert none.returncode == 6 and "has no version '9'" in none.stderr
    assert fullcycle("history", "cats").returncode == 2


def test_a_refused_version_is_promoted_only_when_asked_twice(two: Paths, fullcycle: Command) -> None:
    model(two, seed=1)
    run(two)
    done = fullcycle("promote", "digits", "3", "--why", "a")
    assert (
        done.returncode == 6 and "version 3 was refused: " in done.stderr and "add --refused" in done.stderr
    )
    assert fullcycle("promote", "digits", "3", "--why", "a", "--refused").returncode == 0
    assert aliases(two) == {"champion": "3", "previous": "2"}


def test_the_quick_look_sees_what_mlflow_says(two: Paths) -> None:
    model(two, seed=1)
    run(two)
    asked = registry_state.ask(client(two), "digits")
    assert set(asked["aliases"]) == {"champion", "previous", "challenger"} and asked["last_change"]
    assert registry_state.ask_sqlite(two.root / "mlflow.db", "digits") == asked
    assert read_json(two.registry_looked_at) == asked
    assert registry_state.ask_sqlite(two.root / "mlflow.db", "cats") == registry_state.NOTHING
