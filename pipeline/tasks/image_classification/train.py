"""Training an image classifier and exporting it."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core import golden_set, model_package, pictures, seen_items
from pipeline.core.gates import Gate
from pipeline.core.stage import Context
from pipeline.tasks.image_classification.data.dataset import Split, read_split
from pipeline.tasks.image_classification.data.pixel_statistics import channel_statistics
from pipeline.tasks.image_classification.learning.calibration import fit_temperature
from pipeline.tasks.image_classification.parameters import Train
from pipeline.training import starting
from pipeline.training.outcome import Training
from pipeline.training.starting import Beginning

if TYPE_CHECKING:
    from lightning import Trainer
    from torch import nn

# Columns of history.csv beside the loss of the training, and what Lightning calls them.
HISTORY = {"val_loss": "val_loss", "val_accuracy": "val_accuracy"}
GOLDEN_IMAGES = 64  # of the validation part, in the package's golden set


def train(context: Context, interrupted: Path, folder: Path, beginning: Beginning | None) -> Training:
    """Leaves the files of a model package in `folder`, but for its description, which is returned.

    interrupted: where checkpoints go; one that lies there is gone on from
    beginning: the trained model to begin with
    """
    from safetensors.torch import save_file

    from pipeline.tasks.image_classification.learning import continuing, export, fitting, sanity
    from pipeline.training import long_run
    from pipeline.training.lightning_training import device_name

    params, collect = context.params.train, context.params.collect
    network, train_split, val_split = _begin(context)
    checked = sanity.check(network, params, (train_split.pixels, train_split.labels))
    if beginning:
        continuing.refuse_leak(beginning, val_split)
        continuing.take_over(network, beginning, params, collect)
    fit = _fit(params, network, train_split, val_split)
    fitted = long_run.fit(fit, params, HISTORY, interrupted, folder, context.run)
    logits = fitting.predict(network, val_split.pixels)
    temperature = fit_temperature(logits, val_split.labels)
    weights = {name: value.contiguous() for name, value in network.cpu().state_dict().items()}
    save_file(weights, folder / model_package.WEIGHTS)
    export.to_onnx(network, temperature, collect.image, folder / model_package.NETWORK)
    golden = golden_set.spread(len(val_split), GOLDEN_IMAGES)
    golden_set.write(folder, {"image": val_split.pixels[golden]}, ("probabilities",))
    epochs, seconds = [row["epoch"] for row in fitted.rows], fitted.seconds
    losses = {name: (epochs, [row[name] for row in fitted.rows]) for name in ("train_loss", "val_loss")}
    pictures.curves(losses, ("epoch", "loss"), folder / "curves.png")
    seen_items.write(folder, train_split.ids, val_split.ids, beginning.package if beginning else None)
    right = (logits.argmax(1) == val_split.labels).astype(float)
    val_accuracy = float(right.mean())
    kept, gates = _forgetting(context, right, val_split, beginning)
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
            **kept,
        },
        files=(seen_items.FILE, golden_set.FILE),
        gates=gates,
        summary=f"{parameter_count:,} parameters, {len(epochs)} epochs in {seconds:.0f} s on "
        f"{device_name(fitted.trainer)}; validation accuracy {val_accuracy:.4f}{fitted.remarks}",
    )


def take_part(context: Context, interrupted: Path) -> None:
    """The same training in another process than the first, which alone leaves what `train` leaves."""
    from pipeline.training import long_run

    params = context.params.train
    long_run.take_part(_fit(params, *_begin(context)), params, HISTORY, interrupted, context.run)


def _forgetting(
    context: Context, right: np.ndarray, val_split: Split, beginning: Beginning | None
) -> tuple[Mapping[str, float], tuple[Gate, ...]]:
    """What the old model was right about among the images that chose it, and what the new one is.

    right: float (N,), 1 where the new one is right about a validation image
    """
    from pipeline.tasks.image_classification.learning import continuing

    if not (beginning and beginning.own):
        return {}, ()
    params, collect = context.params.train, context.params.collect
    rows = continuing.old_rows(beginning, val_split, collect)
    before = continuing.right_before(beginning, val_split, rows, collect)
    figures, gate = starting.forgetting(before, right[rows], params.start, params.seed)
    return figures, (gate,)


def _begin(context: Context) -> "tuple[nn.Module, Split, Split]":
    """The network before its first step, and the images to train on and to choose by."""
    import lightning

    from pipeline.tasks.image_classification.learning import networks

    params, collect = context.params.train, context.params.collect
    train_split = read_split(context.paths.prepared / "train")
    val_split = read_split(context.paths.prepared / "val")
    mean, std = channel_statistics(train_split.pixels)
    lightning.seed_everything(params.seed, verbose=False)
    network = networks.build(params.network, collect.image, len(collect.classes), mean, std)
    return network, train_split, val_split


def _fit(
    params: Train, network: "nn.Module", train_split: Split, val_split: Split
) -> "Callable[..., Trainer]":
    """The training, but for what `long_run` gives it."""
    from pipeline.tasks.image_classification.learning import fitting
    from pipeline.training import taking_over

    taking_over.freeze(network, params.start.freeze if params.start else ())
    return partial(
        fitting.fit,
        network,
        starting.at_its_rate(params, params.start),
        params.seed,
        (train_split.pixels, train_split.labels),
        (val_split.pixels, val_split.labels),
        hardware=params.hardware,
    )
