"""Label: apply the label policy, audit the labels, queue the doubtful for relabeling.

Reads   data/P/collected/, labels/ (P.csv, corrections that people made; labels of annotators)
Writes  data/P/labelled/ (labels of the task; audit.json; queue.csv, the doubtful)
Params  collect, label
"""

from pipeline.core.artifacts import writing_folder
from pipeline.core.stage import Context, Evidence, main

PARAMS = ("collect", "label")


def run(context: Context) -> Evidence:
    with writing_folder(context.paths.labelled) as folder:
        found = context.hook().label(context.params, context.paths, folder)
    return Evidence(
        summary=found.summary,
        metrics=found.metrics,
        gates=found.gates,
        files=tuple(sorted(context.paths.labelled.glob("*.png"))),
    )


if __name__ == "__main__":
    main(run, PARAMS)
