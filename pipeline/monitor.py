"""Monitor: would a decline be noticed, and has production declined?

A profile of the validation items is the reference. Unseen items are replayed in windows, sound and
degraded, to measure how often an alarm is raised without reason and how often with. Then the latest
window that production saw is judged the same way, if the service has answered enough.

Reads   data/P/prepared/{val,test}/, models/P/, the prediction log
Writes  reports/P/monitoring/ (result.json, detection.png)
Params  goals, monitor
"""

from pipeline.core.artifacts import write_json, writing_folder
from pipeline.core.stage import Context, Evidence, main

PARAMS = ("goals", "monitor")


def run(context: Context) -> Evidence:
    paths = context.paths
    with writing_folder(paths.reports / "monitoring") as folder:
        monitoring = context.hook().monitor(context.params, paths, folder)
        write_json(folder / "result.json", monitoring.details)
    return Evidence(
        summary=monitoring.summary,
        metrics=monitoring.metrics,
        gates=monitoring.gates,
        files=tuple(sorted((paths.reports / "monitoring").glob("*.png"))),
    )


if __name__ == "__main__":
    main(run, PARAMS)
