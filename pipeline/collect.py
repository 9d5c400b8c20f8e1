"""Collect: bring the raw data, check it, and keep where each row came from.

Reads   the sources that params.yaml declares; reports/P/plan.json
Writes  data/P/collected/
Params  plan (licences, amounts), collect
"""

from pipeline.core.artifacts import read_json, writing_folder
from pipeline.core.gates import Gate
from pipeline.core.stage import Context, Evidence, main

PARAMS = ("plan", "collect")
PROVENANCE = "provenance.json"


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
        context.hook().collect(collect, context.paths, folder)
        provenance = read_json(folder / PROVENANCE)
    items, per_class = provenance["items"], provenance["items_per_class"]
    smallest = min(per_class, key=per_class.get)
    return Evidence(
        summary=f"{items:,} items of {len(per_class)} classes from {len(provenance['sources'])} source(s)",
        metrics={"items": items, "smallest_class": per_class[smallest]},
        gates=(
            _licence_gate(0),
            Gate("items", items, "at least", plan.min_items, "planning",
                 "collect more data, or plan for less (plan.min_items)."),
            Gate("items_of_smallest_class", per_class[smallest], "at least", plan.min_items_per_class,
                 "planning", f"collect more of class {smallest!r}, or plan for less."),
        ),
        blocking=True,
    )  # fmt: skip


def _licence_gate(unlicensed: int) -> Gate:
    return Gate("sources_without_allowed_licence", unlicensed, "at most", 0, "planning",
                "replace the source, or have its licence allowed (plan.allowed_licences).")  # fmt: skip


if __name__ == "__main__":
    main(run, PARAMS)
