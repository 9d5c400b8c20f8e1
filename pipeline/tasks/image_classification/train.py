"""Training an image classifier and exporting it."""

from functools import partial
from pathlib import Path

from pipeline.core import model_package, pictures
from pipeline.core.stage import Context
from pipeline.core.training import Training
from pipeline.tasks.image_classification.data.dataset import read_split
from pipeline.tasks.image_classification.data.pixel_statistics import channel_statistics
from pipeline.tasks.image_classification.learning.calibration import fit_temperature

# Columns of history.csv beside the loss of the training, and what Lightning calls them.
HISTORY = {"val_loss": "val_loss", "val_accuracy": "val_accuracy"}


def train(context: Context, interrupted: Path, folder: Path) -> Training:
    """Leaves the files of a model package in `folder`, but for its description, which is returned.

    interrupted: where checkpoints go; one that lies there is gone on from
    """
    import lightning
    from safetensors.torch import save_file

    from pipeline.core import long_run
    from pipeline.core.lightning_training import device_name
    from pipeline.tasks.image_classification.learning import export, fitting, networks, sanity

    params, collect = context.params.train, context.params.collect
    train_split = read_split(context.paths.prepared / "train")
    val_split = read_split(context.paths.prepared / "val")
    mean, std = channel_statistics(train_split.pixels)
    lightning.seed_everything(params.seed, verbose=False)
    network = networks.build(params.network, collect.image, len(collect.classes), mean, std)
    checked = sanity.check(network, params, (train_split.pixels, train_split.labels))
    train_arrays = (train_split.pixels, train_split.labels)
    val_arrays = (val_split.pixels, val_split.labels)
    fit = partial(fitting.fit, network, params, params.seed, train_arrays, val_arrays)
    fitted = long_run.fit(fit, params, HISTORY, interrupted, folder, context.run)
    logits = fitting.predict(network, val_split.pixels)
    temperature = fit_temperature(logits, val_split.labels)
    weights = {name: value.contiguous() for name, value in network.cpu().state_dict().items()}
    save_file(weights, folder / model_package.WEIGHTS)
    export.to_onnx(network, temperature, collect.image, folder / model_package.NETWORK)
    epochs, seconds = [row["epoch"] for row in fitted.rows], fitted.seconds
    losses = {name: (epochs, [row[name] for row in fitted.rows]) for name in ("train_loss", "val_loss")}
    pictures.curves(losses, ("epoch", "loss"), folder / "curves.png")
    val_accuracy = float((logits.argmax(1) == val_split.labels).mean())
    parameter_count = sum(p.numel() for p in network.parameters())
    context.run.log_dataset(context.paths.prepared / "train", len(train_split))
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
            "images_per_second": len(train_split) * len(epochs) / seconds,
            **checked,
            **fitted.figures,
        },
        summary=f"{parameter_count:,} parameters, {len(epochs)} epochs in {seconds:.0f} s on "
        f"{device_name(fitted.trainer)}; validation accuracy {val_accuracy:.4f}{fitted.remarks}",
    )
