"""Training an image classifier and exporting it."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core import model_package
from pipeline.core.errors import ModelError
from pipeline.core.stage import Context
from pipeline.core.tracking import tracking_uri
from pipeline.core.training import Training
from pipeline.tasks.image_classification import pictures
from pipeline.tasks.image_classification.data.dataset import Split, read_split
from pipeline.tasks.image_classification.data.pixel_statistics import channel_statistics
from pipeline.tasks.image_classification.learning.calibration import fit_temperature

if TYPE_CHECKING:
    from lightning import Trainer

CHECKPOINT = "last.ckpt"


def train(context: Context, interrupted: Path, folder: Path) -> Training:
    """Leaves the files of a model package in `folder`, but for its description, which is returned.

    interrupted: where checkpoints go; one that lies there is gone on from
    """
    import lightning
    import torch
    from safetensors.torch import save_file

    from pipeline.tasks.image_classification.learning import export, fitting, networks, sanity

    params, collect = context.params.train, context.params.collect
    train_split = read_split(context.paths.prepared / "train")
    val_split = read_split(context.paths.prepared / "val")
    mean, std = channel_statistics(train_split.pixels)
    lightning.seed_everything(params.seed, verbose=False)
    network = networks.build(params.network, collect.image, len(collect.classes), mean, std)
    checked = sanity.check(network, params, (train_split.pixels, train_split.labels))
    checkpoint = interrupted / CHECKPOINT
    trainer = fitting.fit(
        network,
        params,
        params.seed,
        (train_split.pixels, train_split.labels),
        (val_split.pixels, val_split.labels),
        resume_from=str(checkpoint) if checkpoint.is_file() else None,
        logger=_logger(context),
        callbacks=[
            fitting.EpochCheckpoint(checkpoint),
            fitting.History(interrupted / "history.csv"),
            lightning.pytorch.callbacks.LearningRateMonitor("step"),
        ],
        enable_progress_bar=True,
        log_every_n_steps=50,
    )
    logits = fitting.predict(network, val_split.pixels)
    temperature = fit_temperature(logits, val_split.labels)
    weights = {name: value.contiguous() for name, value in network.cpu().state_dict().items()}
    save_file(weights, folder / model_package.WEIGHTS)
    export.to_onnx(network, temperature, collect.image, folder / model_package.NETWORK)
    seconds = _keep_history(interrupted / "history.csv", folder)
    val_accuracy = float((logits.argmax(1) == val_split.labels).mean())
    parameter_count = sum(p.numel() for p in network.parameters())
    _log_dataset(context, train_split)
    return Training(
        description={
            "classes": list(collect.classes),
            "image": collect.image.model_dump(),
            "network": params.network.model_dump(mode="json"),
            "parameter_count": parameter_count,
            "mflop_per_image": checked["mflop_per_image"],
            "temperature": temperature,
            "val_accuracy": val_accuracy,
        },
        metrics={
            "val_accuracy": val_accuracy,
            "temperature": temperature,
            "parameter_count": parameter_count,
            "fit_seconds": seconds,
            "images_per_second": len(train_split) * params.epochs / seconds,
            **checked,
        },
        summary=f"{parameter_count:,} parameters, {params.epochs} epochs in {seconds:.0f} s on "
        f"{_device_name(trainer, torch)}; validation accuracy {val_accuracy:.4f}",
    )


def _logger(context: Context) -> Any:
    from lightning.pytorch.loggers import MLFlowLogger

    return MLFlowLogger(
        experiment_name=context.project, tracking_uri=tracking_uri(context.paths), run_id=context.run.id
    )


def _log_dataset(context: Context, split: Split) -> None:
    """The training data as an MLflow dataset input: where it lies, its digest and its size."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    from pipeline.core.artifacts import sha256_of_folder

    folder = context.paths.prepared / "train"
    digest = sha256_of_folder(folder)
    dataset = Dataset(
        name=f"{context.project} train",
        digest=digest[:36],
        source_type="local",
        source=str(folder.relative_to(context.paths.root)),
        profile=f'{{"items": {len(split)}}}',
    )
    inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]
    context.run.client.log_inputs(context.run.id, inputs)
    context.run.set_tags({"data.sha256": digest}, parent=True)


def _keep_history(path: Path, folder: Path) -> float:
    """Leaves history.csv (losses and accuracy, one row an epoch) and its picture.

    Returns the seconds of all epochs, those before an interruption too. The time is not kept in the
    file: the same training must leave the same package.
    """
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ModelError(f"{path}: no epoch was recorded, so there is no trained network to keep.")
    seconds = sum(float(row.pop("seconds")) for row in rows)
    with (folder / "history.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    epochs = [float(row["epoch"]) for row in rows]
    names = ("train_loss", "val_loss")
    lines = {name: (epochs, [float(row[name]) for row in rows]) for name in names}
    pictures.curves(lines, ("epoch", "loss"), folder / "curves.png")
    return seconds


def _device_name(trainer: "Trainer", torch: Any) -> str:
    device = trainer.strategy.root_device
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{torch.get_num_threads()} CPU threads"
