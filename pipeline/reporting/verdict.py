"""The verdict of a pass: *deployed*, or *revisit PHASE because EVIDENCE*."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.core.artifacts import read_json
from pipeline.core.gates import Gate
from pipeline.core.paths import Paths

# The lifecycle: which stages belong to which phase, in the order of work.
PHASES = {
    "plan": "planning",
    "collect": "data",
    "label": "data",
    "validate": "data",
    "prepare": "data",
    "forecast": "planning",
    "train": "training",
    "evaluate": "testing",
    "register": "deploying",
    "deploy": "deploying",
    "monitor": "testing",
    "review": "review",
}


@dataclass(frozen=True)
class Verdict:
    """outcome: "deployed" or "revisit"; phase: the one to revisit, else None; because: the failed
    gates in words; gates: how many were held against evidence."""

    outcome: str
    phase: str | None
    because: tuple[str, ...]
    remedies: tuple[str, ...]
    failed: tuple[str, ...]
    gates: int

    @property
    def sentence(self) -> str:
        if self.outcome == "deployed":
            return f"deployed: all {self.gates} gates hold"
        return f"revisit {self.phase}, because {'; '.join(self.because)}. {' '.join(self.remedies)}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"sentence": self.sentence}


def read_evidence(paths: Paths, *, with_review: bool = False) -> dict[str, dict[str, Any]]:
    """The evidence of each stage that left some, in the lifecycle's order.

    It ends with a stage that stopped the pass: what later stages left is of an earlier pass.
    """
    evidence: dict[str, dict[str, Any]] = {}
    for stage in PHASES:
        if (stage == "review" and not with_review) or not paths.evidence(stage).is_file():
            continue
        evidence[stage] = read_json(paths.evidence(stage))
        if evidence[stage]["stopped"]:
            break
    return evidence


def total_cost(evidence: dict[str, dict[str, Any]]) -> dict[str, float]:
    costs = [found["cost"] for found in evidence.values()]
    return {
        "minutes": sum(cost["seconds"] for cost in costs) / 60,
        "peak_memory_gib": max(cost["peak_memory_mib"] for cost in costs) / 1024,
    }


def decide(evidence: dict[str, dict[str, Any]], more: Iterable[Gate] = ()) -> Verdict:
    """The first failed gate, in the lifecycle's order, says which phase to revisit.

    Later failures often follow from the first, so it comes first in the sentence too.
    """
    gates = [gate for found in evidence.values() for gate in found["gates"]]
    gates += [gate.as_json() for gate in more]
    failed = [gate for gate in gates if not gate["passed"]]
    missing = [stage for stage in PHASES if stage not in evidence and stage != "review"]
    if missing and not failed:
        return Verdict(
            outcome="revisit",
            phase=PHASES[missing[0]],
            because=(f"stage {missing[0]} has left no evidence",),
            remedies=("Run `dvc repro`.",),
            failed=(),
            gates=len(gates),
        )
    return Verdict(
        outcome="revisit" if failed else "deployed",
        phase=failed[0]["revisit"] if failed else None,
        because=tuple(
            f"{g['name']} is {_shown(g['value'])}, required {g['rule']} {g['bound']:.5g}" for g in failed
        ),
        remedies=tuple(gate["remedy"][0].upper() + gate["remedy"][1:] for gate in failed),
        failed=tuple(gate["name"] for gate in failed),
        gates=len(gates),
    )


def _shown(value: float | None) -> str:
    return "not a number" if value is None else f"{value:.5g}"
