"""Collect: bring the raw data, check it, and keep where each row came from.

Reads   the sources that params.yaml declares; reports/P/plan.json
Writes  data/P/collected/ (tables and arrays of the task; provenance.json)
Params  plan (licences, amounts), collect
"""

from pipeline.core.artifacts import writing_folder
from pipeline.core.gates import Gate
from pipeline.core.stage import Context, Evidence, main

PARAMS = ("plan", "collect")


def run(context: Context) -> Evidence:
    plan, collect = context.params.plan, context.params.collect
    unlicensed = [s.name for s in collect.sources if s.licence not in plan.allowed_licences]
    if unlicensed:
        return Evidence(
            summary=f"nothing collected: licence not allowed for {', '.join(unlicensed)}",
            gates=(_licence_gate(len(unlicensed)),),
            blocking=True,
        )
    with writing_folder(context.paths.collected) as folder:
        found = context.hook().collect(context.params, context.paths, folder)
    return Evidence(
        summary=found.summary,
        metrics=found.metrics,
        gates=(_licence_gate(0), *found.gates),
        blocking=True,
    )


def _licence_gate(unlicensed: int) -> Gate:
    return Gate("sources_without_allowed_licence", unlicensed, "at most", 0, "planning",
                "replace the source, or have its licence allowed (plan.allowed_licences).")  # fmt: skip


if __name__ == "__main__":
    main(run, PARAMS)
