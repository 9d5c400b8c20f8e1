"""Review: the verdict, and one page on which a person sees why.

Reads   the evidence of all stages; for the page the tables and pictures that they left
Writes  reports/P/verdict.json, reports/P/index.html
Params  goals, plan, review
"""

from pipeline.core.artifacts import write_json, writing_file
from pipeline.core.gates import Gate
from pipeline.core.stage import Context, Evidence, main
from pipeline.reporting import verdict
from pipeline.reporting.report import render

PARAMS = ("goals", "plan", "review")


def run(context: Context) -> Evidence:
    paths, plan = context.paths, context.params.plan
    evidence = verdict.read_evidence(paths)
    cost = verdict.total_cost(evidence)
    gates = (
        Gate("minutes", cost["minutes"], "at most",
             plan.resources.minutes_max * context.params.review.minutes_slack, "planning",
             "the stages took longer than planned; see the table of stages for which."),
        Gate("peak_memory_gib", cost["peak_memory_gib"], "at most", plan.resources.memory_gib_max, "planning",
             "a stage needs more memory than planned; see the table of stages for which."),
    )  # fmt: skip
    found = verdict.decide(evidence, gates)
    write_json(paths.reports / "verdict.json", found.as_json())
    with writing_file(paths.reports / "index.html") as partial:
        partial.write_text(render(paths, plan, evidence, found, gates, cost, context.hook("figures").FIGURES))
    return Evidence(
        summary=found.sentence,
        metrics={**cost, "gates": found.gates, "gates_failed": len(found.failed)},
        gates=gates,
        files=(paths.reports / "index.html",),
    )


if __name__ == "__main__":
    main(run, PARAMS)
