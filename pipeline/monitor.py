"""Monitor: would a decline be noticed, and has production declined?

A profile of the validation items is the reference. Unseen items are replayed in windows, sound and
degraded, to measure how often an alarm is raised without reason and how often with. Then the latest
window of what the champion answered since it became that is judged the same way, if there is enough of it;
what a canary's challenger answered, or a champion before this one, is not among it.

Reads   data/P/prepared/, the champion in the MLflow registry (models/P/ before there is one), the
        prediction log
Writes  reports/P/monitoring/ (result.json, detection.png)
Params  goals, monitor
"""

import tempfile
from pathlib import Path

from pipeline.core.artifacts import write_json, writing_folder
from pipeline.core.stage import Context, Evidence, main
from pipeline.monitoring import production

PARAMS = ("goals", "monitor")


def run(context: Context) -> Evidence:
    paths = context.paths
    with (
        writing_folder(paths.reports / "monitoring") as folder,
        tempfile.TemporaryDirectory(prefix="fullcycle-monitor-") as scratch,
    ):
        answers = production.find(paths, Path(scratch) / "champion")
        monitoring = context.hook().monitor(context.params, paths, answers, folder)
        write_json(folder / "result.json", monitoring.details)
    return Evidence(
        summary=monitoring.summary,
        metrics=monitoring.metrics,
        gates=monitoring.gates,
        files=tuple(sorted((paths.reports / "monitoring").glob("*.png"))),
    )


if __name__ == "__main__":
    main(run, PARAMS)
