"""Train: fit the network, export it, leave the model package.

Reads   data/P/prepared/{train,val}/, reports/P/forecast.json (its gate held)
Writes  models/P/ (pipeline/core/model_package.py; history.csv, curves.png)
Params  collect (classes, image), train
"""

from pipeline.core import checkpoints, model_package
from pipeline.core.artifacts import sha256_of_folder, writing_folder
from pipeline.core.stage import Context, Evidence, main

PARAMS = ("collect", "train")


def run(context: Context) -> Evidence:
    paths = context.paths
    with checkpoints.resumable(context) as interrupted, writing_folder(paths.model) as folder:
        with context.run.system_metrics():
            training = context.hook().train(context, interrupted, folder)
        model_package.describe(
            folder,
            {
                "project": context.project,
                "task": context.task,
                "data_sha256": sha256_of_folder(paths.prepared / "train"),
                **training.description,
            },
            training.files,
        )
    return Evidence(
        summary=training.summary,
        metrics=training.metrics,
        files=tuple(sorted(paths.model.glob("*.png"))),
    )


def take_part(context: Context) -> None:
    """What each process but the first does, where `train.hardware` asks for several: it leaves nothing."""
    context.hook().take_part(context, checkpoints.taken_part_in(context))


if __name__ == "__main__":
    main(run, PARAMS, take_part)
