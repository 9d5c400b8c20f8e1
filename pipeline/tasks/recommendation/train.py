"""Training a ranker of products and exporting it."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core import golden_set, model_package, pictures
from pipeline.core.gates import Gate
from pipeline.core.stage import Context
from pipeline.tasks.recommendation.data.inputs import BY_CANDIDATE, GIVEN
from pipeline.tasks.recommendation.data.network import KNOWN_PRODUCTS
from pipeline.tasks.recommendation.parameters import Train
from pipeline.training import starting
from pipeline.training.outcome import Training
from pipeline.training.starting import Beginning

if TYPE_CHECKING:
    from lightning import Trainer

    from pipeline.tasks.recommendation.learning.examples import Examples, Past
    from pipeline.tasks.recommendation.learning.networks.ranker import Ranker

# Columns of history.csv beside the loss of the training, and what Lightning calls them.
HISTORY = {"val_loss": "val_loss", "val_recall": "val_recall"}
GOLDEN_QUESTIONS = 20  # of the validation part, in the package's golden set
GOLDEN_CANDIDATES = 64  # of each of them: a score does not depend on how many others are asked about


def train(context: Context, interrupted: Path, folder: Path, beginning: Beginning | None) -> Training:
    """Leaves the files of a model package in `folder`, but for its description, which is returned.

    interrupted: where checkpoints go; one that lies there is gone on from
    beginning: the trained model to begin with
    """
    from safetensors.torch import save_file

    from pipeline.tasks.recommendation.learning import continuing, examples, export, sanity
    from pipeline.training import long_run
    from pipeline.training.lightning_training import device_name

    params = context.params.train
    past = examples.read_past(context.paths.prepared, params)
    ranker, training, validation = _begin(context, past)
    checked = sanity.check(ranker, params, training)
    if beginning:
        continuing.refuse_leak(beginning, past.parts[-1].first_day)
        continuing.take_over(ranker, beginning, past.catalogue, training.inputs.names)
    fit = _fit(params, ranker, training, validation)
    fitted = long_run.fit(fit, params, HISTORY, interrupted, folder, context.run)
    ranker.cpu()
    weights = {name: value.contiguous() for name, value in ranker.state_dict().items()}
    save_file(weights, folder / model_package.WEIGHTS)
    np.save(folder / KNOWN_PRODUCTS, past.catalogue.product_ids)
    export.to_onnx(ranker, validation.inputs, folder / model_package.NETWORK)
    golden_set.write(folder, golden_questions(validation), ("scores",))
    epochs, seconds = [row["epoch"] for row in fitted.rows], fitted.seconds
    losses = {name: (epochs, [row[name] for row in fitted.rows]) for name in ("train_loss", "val_loss")}
    pictures.curves(losses, ("epoch", "loss"), folder / "curves.png")
    context.run.log_dataset(context.paths.prepared / "train", len(past.parts[0]))
    parameter_count = sum(p.numel() for p in ranker.parameters())
    val_recall = fitted.kept["val_recall"]
    kept, gates = _forgetting(context, past, ranker, validation, beginning)
    return Training(
        description={
            "retrieval": params.retrieval.model_dump(),
            "features": list(training.inputs.names),
            "network": params.network.model_dump(mode="json"),
            "clock": params.clock,
            "timezone": context.params.collect.timezone.local,
            "learnt_until": past.parts[-1].first_day,
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
            **kept,
        },
        gates=gates,
        summary=f"{parameter_count:,} parameters, {len(epochs)} epochs of {len(training):,} questions in "
        f"{seconds:.0f} s on {device_name(fitted.trainer)}; validation recall at 20 "
        f"{val_recall:.4f}{fitted.remarks}",
        files=(KNOWN_PRODUCTS, golden_set.FILE),
    )


def take_part(context: Context, interrupted: Path) -> None:
    """The same training in another process than the first, which alone leaves what `train` leaves."""
    from pipeline.tasks.recommendation.learning import examples
    from pipeline.training import long_run

    params = context.params.train
    fit = _fit(params, *_begin(context, examples.read_past(context.paths.prepared, params)))
    long_run.take_part(fit, params, HISTORY, interrupted, context.run)


def _forgetting(
    context: Context, past: "Past", ranker: "Ranker", validation: "Examples", beginning: Beginning | None
) -> tuple[Mapping[str, float], tuple[Gate, ...]]:
    """Recall at 20 of the customers that the old model knew, by it and by the new one, both asked now."""
    from pipeline.tasks.recommendation.learning import continuing, ranking, scoring

    if not (beginning and beginning.own):
        return {}, ()
    params = context.params.train
    asked = validation.rows(continuing.old_rows(beginning, past, validation))
    before = continuing.recall_before(beginning, past.catalogue, asked)
    after = before
    if len(asked):
        scores = np.where(asked.inputs.products >= 0, scoring.scores(ranker, asked), -np.inf)
        after = ranking.recall(scores, asked.relevant, asked.wanted, continuing.LIST)
    figures, gate = starting.forgetting(before, after, params.start, params.seed)
    return figures, (gate,)


def golden_questions(validation: "Examples") -> dict[str, np.ndarray]:
    """What the network takes of some questions, with fewer candidates than a customer is asked with."""
    given = validation.inputs.given(golden_set.spread(len(validation), GOLDEN_QUESTIONS))
    questions = dict(zip(GIVEN, given, strict=True))
    return questions | {name: questions[name][:, :GOLDEN_CANDIDATES] for name in BY_CANDIDATE}


def _begin(context: Context, past: "Past") -> "tuple[Ranker, Examples, Examples]":
    """The network before its first step, and the questions to train on and to choose by."""
    import lightning

    from pipeline.tasks.recommendation.learning import examples, fitting, networks

    params = context.params.train
    val_from = past.parts[-1].first_day
    training = examples.training(past, val_from, params.examples, params.seed)
    validation = examples.at(past, val_from, past.next_baskets(val_from, params.examples.horizon_days))
    lightning.seed_everything(params.seed, verbose=False)
    mean, std = fitting.feature_statistics(training)
    ranker = networks.build(params.network, past.catalogue.codes, mean, std, params.retrieval.baskets)
    return ranker, training, validation


def _fit(
    params: Train, ranker: "Ranker", training: "Examples", validation: "Examples"
) -> "Callable[..., Trainer]":
    """The training, but for what `long_run` gives it."""
    from pipeline.tasks.recommendation.learning import fitting
    from pipeline.training import taking_over

    taking_over.freeze(ranker, params.start.freeze if params.start else ())
    return partial(
        fitting.fit,
        ranker,
        starting.at_its_rate(params, params.start),
        params.seed,
        training,
        validation,
        hardware=params.hardware,
    )
