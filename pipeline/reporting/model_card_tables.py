"""The tables of the model card, made from the files that the stages of a pass left.

Each argument is what such a file holds, empty where it is missing; then there is no table: None, or an
empty list.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.core.source_state import SourceState
from pipeline.reporting.evidence_tables import (
    Table,
    of_rows,
    pairs,
    shown,
    tables,
    with_interval,
    words,
)
from pipeline.reporting.model_card_caveats import WORST_SHOWN, Evidence, judged_slices

ROWS_SHOWN = 40  # of one table
PLACES = ("package", "version", "member", "url", "path")  # of a source, where it says them
NOT_DETAILS = ("metrics", "intervals", "gates", "slices")  # of result.json; they are shown apart


def model(description: Mapping[str, Any]) -> Table | None:
    hidden = ("format", "files", "data_sha256")
    figures = {name: value for name, value in description.items() if name not in hidden}
    checksums = {f"SHA-256 of {name}": value for name, value in description.get("files", {}).items()}
    return pairs("", figures | checksums, ROWS_SHOWN) if description else None


def metrics(result: Mapping[str, Any]) -> Table | None:
    intervals = result.get("intervals", {})
    rows = tuple(
        (words(name), with_interval(value, intervals.get(name)))
        for name, value in result.get("metrics", {}).items()
    )
    return Table("", ("on unseen data", "figure"), rows, 0) if rows else None


def gates(evidence: Evidence) -> Table | None:
    rows = tuple(
        (
            stage,
            words(gate["name"]),
            with_interval(gate["value"], gate["interval"]),
            f"{gate['rule']} {shown(gate['bound'])}",
            "holds" if gate["passed"] else "FAILS",
        )
        for stage, found in evidence.items()
        for gate in found["gates"]
    )
    return Table("", ("stage", "requirement", "met", "required", ""), rows, 0) if rows else None


def worst(result: Mapping[str, Any]) -> Table | None:
    rows = [row for _, row in judged_slices(result)]
    return of_rows("", rows[:WORST_SHOWN], WORST_SHOWN) if rows else None


def details(result: Mapping[str, Any]) -> Sequence[Table]:
    """What the evaluation left beside what is shown apart."""
    rest = {name: value for name, value in result.items() if name not in NOT_DETAILS}
    slices = result.get("slices")
    if isinstance(slices, Mapping):
        rest["slices"] = {name: value for name, value in slices.items() if name != "rows"}
    return tables(rest, ROWS_SHOWN)


def sources(provenance: Mapping[str, Any]) -> Table | None:
    rows = [
        {
            "source": source["name"],
            "licence": source["licence"],
            "from": " ".join([source["kind"], *(str(source[key]) for key in PLACES if key in source)]),
            "rows": source.get("rows", source.get("parts")),
            "SHA-256": source["sha256"],
        }
        for source in provenance.get("sources", ())
    ]
    return of_rows("", rows, ROWS_SHOWN) if rows else None


def data(
    sizes: Mapping[str, Any], description: Mapping[str, Any], audit: Mapping[str, Any]
) -> Sequence[Table]:
    parts = {f"rows of {part}": rows for part, rows in sizes.items()}
    if "data_sha256" in description:
        parts["SHA-256 of what it was trained on"] = description["data_sha256"]
    labels = {name: value for name, value in audit.items() if not isinstance(value, list)}
    found = {"Parts": parts, "Labels, and how many of them are doubted": labels}
    return [pairs(title, values, ROWS_SHOWN) for title, values in found.items() if values]


def training(train: Mapping[str, Any]) -> Sequence[Table]:
    if not train:
        return []
    cost, environment = train["cost"], train["environment"]
    on = {
        "begun": cost["began"],
        "seconds": cost["seconds"],
        "peak memory MiB": cost["peak_memory_mib"],
        "processor": environment["processor"],
        "cores": cost["cores"],
        "GPUs": environment["gpus"] or "none",
    }
    recipe = train["params"]["train"]
    return [pairs("Time and machine", on, ROWS_SHOWN), pairs("Recipe, with its seed", recipe, ROWS_SHOWN)]


def origin(source: SourceState, train: Mapping[str, Any]) -> Sequence[Table]:
    state = {
        "git commit": source.commit,
        "changes that are not committed": not source.clean,
        "SHA-256 of params.yaml": source.params,
    }
    found = [pairs("Registered from", state, ROWS_SHOWN)]
    if train:
        environment = train["environment"]
        packages = {"Python": environment["python"], "system": environment["system"]} | environment[
            "packages"
        ]
        found.append(pairs("Trained with", packages, ROWS_SHOWN))
    return found
