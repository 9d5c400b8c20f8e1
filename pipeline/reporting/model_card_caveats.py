"""What a person must not overlook in what the stages of a pass found, in sentences: for the model card."""

from collections.abc import Mapping
from typing import Any

from pipeline.core.source_state import SourceState
from pipeline.reporting.evidence_tables import intervals_of, shown, with_interval, words

WORST_SHOWN = 8  # slices

Evidence = Mapping[str, Mapping[str, Any]]


def caveats(evidence: Evidence, result: Mapping[str, Any], source: SourceState) -> list[str]:
    """evidence: what the stages left, by their names; result: result.json of the evaluation."""
    return [
        *_of_gates(evidence),
        *_of_slices(result),
        *_of_training(evidence.get("train", {})),
        *_of_metrics(result),
        *_of_source(source),
    ]


def judged_slices(result: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The slices that were judged, the worst first, each with the name of the figure that it is judged by.

    `slices` of result.json: rows, or a mapping that has them under `rows`. A row has its name as `slice`, and
    is judged by its first figure that has an interval; `judged` is false where it is too small.
    """
    told = result.get("slices", [])
    rows = told.get("rows", []) if isinstance(told, Mapping) else told
    judged = [row for row in rows if row.get("judged", True) and intervals_of(row)]
    found = [(next(iter(intervals_of(row))), row) for row in judged]
    return sorted(found, key=lambda of: of[1][of[0]] * (-1 if _less_is_better(of[0], result) else 1))


def _of_gates(evidence: Evidence) -> list[str]:
    """Gates that fail, and those that hold while the interval lies on both sides of the bound."""
    found = []
    for stage, told in evidence.items():
        for gate in told["gates"]:
            met = f"{stage}: {words(gate['name'])} is {with_interval(gate['value'], gate['interval'])}"
            required = f"{gate['rule']} {shown(gate['bound'])}"
            if not gate["passed"]:
                found.append(f"{met}, required is {required}: this gate FAILS. To do: {gate['remedy']}")
            elif gate["interval"] and not _surely(gate):
                found.append(
                    f"{met}: it holds, but its interval reaches beyond what is required, {required}."
                )
    return found


def _surely(gate: Mapping[str, Any]) -> bool:
    low, high = gate["interval"]
    return bool(low >= gate["bound"] if gate["rule"] == "at least" else high <= gate["bound"])


def _of_training(train: Mapping[str, Any]) -> list[str]:
    alarms = train.get("metrics", {}).get("alarms", 0)
    return (
        [f"train: {shown(int(alarms))} alarm(s) while the network learnt: {train['summary']}"]
        if alarms
        else []
    )


def _of_slices(result: Mapping[str, Any]) -> list[str]:
    """Slices whose interval lies wholly on the worse side of the figure of all unseen data."""
    slices, found = judged_slices(result), []
    for name, row in slices:
        whole, (low, high) = result["metrics"].get(name), intervals_of(row)[name][0]
        if whole is not None and (low > whole if _less_is_better(name, result) else high < whole):
            met = with_interval(row[name], (low, high))
            found.append(f"slice {row['slice']}: {words(name)} is {met}, {shown(whole)} over all.")
    summary = (
        f"{len(found)} of {len(slices)} slices have their whole interval on the worse side of the figure "
        "over all unseen data; by chance alone it would be about one in forty."
    )
    return [summary, *found[:WORST_SHOWN]] if found else []


def _of_metrics(result: Mapping[str, Any]) -> list[str]:
    metrics, intervals = result.get("metrics", {}), result.get("intervals", {})
    without = [words(name) for name in metrics if name not in intervals]
    return [f"Without an interval, so not known how surely: {', '.join(without)}."] if without else []


def _of_source(source: SourceState) -> list[str]:
    told = "It was registered with changes that are not committed: the commit alone does not make it again."
    return [] if source.clean else [told]


def _less_is_better(metric: str, result: Mapping[str, Any]) -> bool:
    """As the gate on this metric has it; more is better where there is none."""
    return any(gate["name"] == metric and gate["rule"] == "at most" for gate in result["gates"])
