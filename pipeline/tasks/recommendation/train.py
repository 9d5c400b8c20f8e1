"""Training a ranker of products and exporting it."""

from functools import partial
from pathlib import Path

import numpy as np

from pipeline.core import model_package, pictures
from pipeline.core.paths import Paths
from pipeline.core.stage import Context
from pipeline.core.training import Training
from pipeline.tasks.recommendation.data.dataset import read_catalogue, read_split
from pipeline.tasks.recommendation.data.network import KNOWN_PRODUCTS
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.state import CATALOGUE
from pipeline.tasks.recommendation.recipe_parameters import Recipe

# Columns of history.csv beside the loss of the training, and what Lightning calls them.
HISTORY = {"val_loss": "val_loss", "val_recall": "val_recall"}


def train(context: Context, interrupted: Path, folder: Path) -> Training:
    """Leaves the files of a model package in `folder`, but for its description, which is returned.

    interrupted: where checkpoints go; one that lies there is gone on from
    """
    import lightning
    from safetensors.torch import save_file

    from pipeline.core import long_run
    from pipeline.core.lightning_training import device_name
    from pipeline.tasks.recommendation.learning import examples, export, fitting, networks, sanity

    params = context.params.train
    past = read_past(context.paths, params)
    val_from = past.parts[-1].first_day
    asked = params.examples
    training = examples.training(
        past, val_from, asked.origins, asked.every_days, asked.horizon_days,
        asked.live_share, asked.hidden_share, asked.questions_max, params.seed,
    )  # fmt: skip
    validation = examples.at(past, val_from, past.next_baskets(val_from, asked.horizon_days))
    lightning.seed_everything(params.seed, verbose=False)
    mean, std = fitting.feature_statistics(training)
    ranker = networks.build(params.network, past.catalogue.codes, mean, std, params.retrieval.baskets)
    checked = sanity.check(ranker, params, training)
    fit = partial(fitting.fit, ranker, params, params.seed, training, validation)
    fitted = long_run.fit(fit, params, HISTORY, interrupted, folder, context.run)
    ranker.cpu()
    weights = {name: value.contiguous() for name, value in ranker.state_dict().items()}
    save_file(weights, folder / model_package.WEIGHTS)
    np.save(folder / KNOWN_PRODUCTS, past.catalogue.product_ids)
    export.to_onnx(ranker, validation.inputs, folder / model_package.NETWORK)
    epochs, seconds = [row["epoch"] for row in fitted.rows], fitted.seconds
    losses = {name: (epochs, [row[name] for row in fitted.rows]) for name in ("train_loss", "val_loss")}
    pictures.curves(losses, ("epoch", "loss"), folder / "curves.png")
    context.run.log_dataset(context.paths.prepared / "train", len(past.parts[0]))
    parameter_count = sum(p.numel() for p in ranker.parameters())
    val_recall = fitted.kept["val_recall"]
    return Training(
        description={
            "retrieval": params.retrieval.model_dump(),
            "features": list(training.inputs.names),
            "network": params.network.model_dump(mode="json"),
            "clock": params.clock,
            "timezone": context.params.collect.timezone.local,
            "parameter_count": parameter_count,
            "mflop_per_question": checked["mflop_per_question"],
            "val_recall_at_20": val_recall,
        },
        metrics={
            "val_recall_at_20": val_recall,
            "parameter_count": parameter_count,
            "questions": len(training),
            "fit_seconds": seconds,
            "questions_per_second": len(training) * len(epochs) / seconds,
            **checked,
            **fitted.figures,
        },
        summary=f"{parameter_count:,} parameters, {len(epochs)} epochs of {len(training):,} questions in "
        f"{seconds:.0f} s on {device_name(fitted.trainer)}; validation recall at 20 "
        f"{val_recall:.4f}{fitted.remarks}",
        files=(KNOWN_PRODUCTS,),
    )


def read_past(paths: Paths, recipe: Recipe) -> "examples.Past":  # type: ignore[name-defined] # noqa: F821
    """What may be trained on and chosen by: the training and the validation part."""
    from pipeline.tasks.recommendation.learning import examples

    parts = [read_split(paths.prepared / split) for split in ("train", "val")]
    catalogue = read_catalogue(paths.prepared / "train" / CATALOGUE)
    retrieval = Retrieval(**recipe.retrieval.model_dump())
    return examples.Past(parts, catalogue, retrieval, recipe.examples.similarity_days)
