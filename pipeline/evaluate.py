"""Evaluate: how good is the exported network on data that chose nothing?

Reads   data/P/prepared/ (test/ is what chose nothing; thresholds, bounds and comparators come from the rest),
        data/P/labelled/ (the audit's opinion of the errors), models/P/
Writes  reports/P/metrics.json, reports/P/evaluation/ (result.json, tables, pictures), reports/P/plots/ (what
        `dvc plots` draws)
Params  goals, collect, evaluate
"""

from pipeline.core.artifacts import write_json, writing_folder
from pipeline.core.stage import Context, Evidence, main
from pipeline.testing import plots

PARAMS = ("goals", "collect", "evaluate")
RESULT = "result.json"


def run(context: Context) -> Evidence:
    paths = context.paths
    with writing_folder(paths.reports / "evaluation") as folder:
        evaluation = context.hook().evaluate(context.params, paths, folder)
        write_json(
            folder / RESULT,
            {
                "metrics": evaluation.metrics,
                "intervals": evaluation.intervals,
                "gates": [gate.as_json() for gate in evaluation.gates],
                **evaluation.details,
            },
        )
    plots.write(paths.reports / "evaluation", context.hook("figures").FIGURES, paths.reports / "plots")
    write_json(paths.reports / "metrics.json", evaluation.metrics)
    ends = {
        f"{name}.{end}": value
        for name, interval in evaluation.intervals.items()
        for end, value in zip(("low", "high"), interval, strict=True)
    }
    return Evidence(
        summary=evaluation.summary,
        metrics={**evaluation.metrics, **ends},
        gates=evaluation.gates,
        files=tuple(sorted((paths.reports / "evaluation").iterdir())),
    )


if __name__ == "__main__":
    main(run, PARAMS)
