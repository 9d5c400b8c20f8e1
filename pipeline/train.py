"""Train: fit the network, export it, leave the model package.

Reads   data/P/prepared/{train,val}/, reports/P/forecast.json (its gate held); the model in the MLflow
        registry that `train.start` names, if it names one
Writes  models/P/ (pipeline/core/model_package.py; history.csv, curves.png)
Params  collect (classes, image), train
"""

from pipeline.core import model_package
from pipeline.core.artifacts import sha256_of_folder, writing_folder
from pipeline.core.stage import Context, Evidence, main
from pipeline.training import checkpoints, starting

PARAMS = ("collect", "train")


def run(context: Context) -> Evidence:
    paths, start = context.paths, context.params.train.start
    version = starting.version(paths, start)
    interrupted = checkpoints.resumable(context, version)
    with writing_folder(paths.model) as folder:
        beginning = starting.fetch(paths, version, context.task, interrupted / "start") if version else None
        with context.run.system_metrics():
            training = context.hook().train(context, interrupted, folder, beginning)
        model_package.describe(
            folder,
            {
                "project": context.project,
                "task": context.task,
                "data_sha256": sha256_of_folder(paths.prepared / "train"),
                "started_from": beginning.as_json() if beginning else None,
                **training.description,
            },
            training.files,
        )
    return Evidence(
        summary=f"begun with {beginning.name}: {training.summary}" if beginning else training.summary,
        metrics=training.metrics,
        gates=training.gates,
        files=tuple(sorted(paths.model.glob("*.png"))),
        scratch=interrupted,
    )


def take_part(context: Context) -> None:
    """What each process but the first does, where `train.hardware` asks for several: it leaves nothing."""
    version = starting.version(context.paths, context.params.train.start)
    context.hook().take_part(context, checkpoints.taken_part_in(context, version))


if __name__ == "__main__":
    main(run, PARAMS, take_part)
