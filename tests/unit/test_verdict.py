"""The verdict follows from the evidence, and from nothing else."""

from pathlib import Path
from typing import Any

from pipeline.core.artifacts import write_json
from pipeline.core.gates import Gate
from pipeline.core.paths import Paths
from pipeline.reporting import verdict

STAGES = [stage for stage in verdict.PHASES if stage != "review"]
GOOD = Gate("accuracy", 0.99, "at least", 0.9, "training", "train longer.")
BAD = Gate("accuracy", 0.8, "at least", 0.9, "training", "train longer.")
WORSE = Gate("labels", 0.3, "at most", 0.1, "data", "relabel.")


def evidence(**gates: Gate) -> dict[str, dict[str, Any]]:
    cost = {"seconds": 60.0, "peak_memory_mib": 512}
    return {
        stage: {"gates": [gates[stage].as_json()] if stage in gates else [], "stopped": False, "cost": cost}
        for stage in STAGES
    }


def test_deployed_when_every_gate_holds() -> None:
    found = verdict.decide(evidence(evaluate=GOOD))
    assert (found.outcome, found.phase, found.gates) == ("deployed", None, 1)
    assert found.sentence == "deployed: all 1 gates hold"


def test_the_first_failure_names_the_phase_and_all_are_told() -> None:
    found = verdict.decide(evidence(evaluate=BAD, validate=WORSE))
    assert (found.outcome, found.phase) == ("revisit", "data")
    assert found.failed == ("labels", "accuracy")
    assert found.sentence == (
        "revisit data, because labels is 0.3, required at most 0.1; "
        "accuracy is 0.8, required at least 0.9. Relabel. Train longer."
    )


def test_a_figure_that_is_not_a_number_fails_in_words() -> None:
    found = verdict.decide(evidence(evaluate=Gate("x", float("nan"), "at least", 0, "training", "mend.")))
    assert found.because == ("x is not a number, required at least 0",)


def test_a_stage_without_evidence_is_not_a_deployment() -> None:
    some = evidence(evaluate=GOOD)
    del some["deploy"]
    assert verdict.decide(some).sentence.startswith("revisit deploying, because stage deploy has left no")


def test_what_lies_behind_a_stage_that_stopped_the_pass_is_of_an_earlier_one(tmp_path: Path) -> None:
    paths = Paths(tmp_path, "p")
    for stage, found in evidence(validate=WORSE).items():
        write_json(paths.evidence(stage), found | {"stopped": stage == "validate"})
    assert list(verdict.read_evidence(paths)) == ["plan", "collect", "label", "validate"]
    assert verdict.decide(verdict.read_evidence(paths)).phase == "data"


def test_cost_adds_up_time_and_takes_the_hungriest() -> None:
    some = evidence()
    some["train"]["cost"] = {"seconds": 120.0, "peak_memory_mib": 2048}
    assert verdict.total_cost(some) == {"minutes": 12.0, "peak_memory_gib": 2.0}
