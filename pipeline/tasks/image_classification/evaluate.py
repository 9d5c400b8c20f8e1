"""Evaluating an image classifier on unseen images."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pipeline.core import seen_items
from pipeline.core.deployed_network import DeployedNetwork
from pipeline.core.errors import IncompatibleModel
from pipeline.core.evaluation import Evaluation
from pipeline.core.gates import Gate
from pipeline.core.paths import Paths
from pipeline.core.pictures import intervals
from pipeline.core.statistics import bootstrap_interval, wilson_interval
from pipeline.tasks.image_classification.data import pictures
from pipeline.tasks.image_classification.data.dataset import Split, read_split
from pipeline.tasks.image_classification.learning import calibration, networks, shallow
from pipeline.tasks.image_classification.parameters import Evaluate
from pipeline.tasks.image_classification.testing import (
    attributions,
    behaviour,
    representations,
    robustness,
)

SMALLEST_PROBABILITY = 1e-12  # so that the logarithm of a certain mistake is finite


def scores(params: Any, package: Path, prepared: Path) -> np.ndarray:
    """1.0 where the packaged network is right about an unseen image, else 0.0; float64 (N,).

    IncompatibleModel: it knows other classes, or takes other images.
    """
    split = read_split(prepared / "test")
    network = DeployedNetwork(package)
    known = {name: network.description[name] for name in ("classes", "image")}
    wanted = {"classes": list(params.collect.classes), "image": params.collect.image.model_dump()}
    if known != wanted:
        raise IncompatibleModel(f"It was trained for {known}; the project's are {wanted}.")
    answers = network.run(split.pixels, "logits").argmax(1)
    return (answers == split.labels).astype(np.float64)


def evaluate(params: Any, paths: Paths, folder: Path) -> Evaluation:
    """Writes predictions.npz, confusion.csv, pictures, and what testing/ says into `folder`."""
    limits: Evaluate = params.evaluate
    classes = params.collect.classes
    test = read_split(paths.prepared / "test")
    network = DeployedNetwork(paths.model)
    probabilities = network.run(test.pixels, "probabilities").astype(np.float64)
    of_truth = probabilities[np.arange(len(test)), test.labels]
    predicted = probabilities.argmax(1)
    right = predicted == test.labels
    matrix = np.bincount(test.labels * len(classes) + predicted, minlength=len(classes) ** 2)
    matrix = matrix.reshape(len(classes), len(classes))

    accuracy, accuracy_interval = float(right.mean()), wilson_interval(int(right.sum()), len(right))
    recall = np.diag(matrix) / np.maximum(matrix.sum(1), 1)
    worst = int(recall.argmin())
    worst_interval = wilson_interval(int(matrix[worst, worst]), int(matrix[worst].sum()))
    error = calibration.expected_calibration_error(probabilities, right)
    error_interval = bootstrap_interval(
        lambda rows: calibration.expected_calibration_error(probabilities[rows], right[rows]),
        len(right), draws=limits.draws, seed=limits.seed,
    )  # fmt: skip
    comparisons = shallow.compare(limits, read_split(paths.prepared / "train"), test, right)
    best = comparisons[0]
    learnt = int(np.isin(seen_items.numbers(test.ids), seen_items.read(paths.model)[0]).sum())
    parity = _parity(network, paths.model, params, test)

    np.savez_compressed(folder / "predictions.npz", ids=test.ids, predicted=predicted, right=right)
    _write_pictures(folder, test, probabilities, right, matrix, classes, paths, limits.worst)
    accuracies = {made.title: (made.accuracy, made.accuracy_interval) for made in comparisons}
    intervals(
        {"this network": (accuracy, accuracy_interval), **accuracies}, "accuracy", folder / "shallow.png"
    )
    np.savetxt(
        folder / "confusion.csv", matrix, fmt="%d", delimiter=",", header=",".join(classes), comments=""
    )
    goals = params.goals
    evaluation = Evaluation(
        summary=f"accuracy {accuracy:.4f} [{accuracy_interval[0]:.4f}, {accuracy_interval[1]:.4f}] on "
        f"{len(right):,} unseen images; {best.gain:+.4f} over {best.title}, the best shallow comparator",
        metrics={
            "accuracy": accuracy,
            "worst_class_recall": float(recall[worst]),
            "calibration_error": error,
            "gain_over_shallow": best.gain,
            "shallow_accuracy": best.accuracy,
            "parity_max_difference": parity["max_difference"],
            "log_loss": float(-np.log(np.maximum(of_truth, SMALLEST_PROBABILITY)).mean()),
        },
        intervals={
            "accuracy": accuracy_interval,
            "worst_class_recall": worst_interval,
            "calibration_error": error_interval,
            "gain_over_shallow": best.gain_interval,
        },
        gates=(
            Gate("accuracy", accuracy, "at least", goals.accuracy_min, "training",
                 "train longer or a larger network; look at evaluation/errors.png.", accuracy_interval),
            Gate("worst_class_recall", float(recall[worst]), "at least", goals.class_recall_min, "data",
                 f"collect or relabel more of class {classes[worst]!r}.", worst_interval),
            Gate("calibration_error", error, "at most", goals.calibration_error_max, "training",
                 "fit the temperature on more validation images.", error_interval),
            Gate("gain_over_shallow_low", best.gain_interval[0], "at least", 0.0, "training",
                 f"the network does not beat {best.title}; use that, or train better.", best.gain_interval),
            Gate("unseen_images_learnt_from", learnt, "at most", 0, "data",
                 "the model was begun with one that has learnt from them: set train.start to null, or go "
                 "back to the prepare.salt and the shares of that time."),
            Gate("export_changed_decisions", parity["changed"], "at most", 0, "training",
                 "the exported graph differs from the trained network; mend the export."),
        ),
        details={
            "items": len(right),
            "classes": [
                {"class": name, "recall": float(recall[k]), "items": int(matrix[k].sum())}
                for k, name in enumerate(classes)
            ],
            "shallow": [asdict(made) for made in comparisons],
            "parity": parity,
        },
    )  # fmt: skip
    trained = networks.trained(paths.model, params.collect)
    val, train = read_split(paths.prepared / "val"), read_split(paths.prepared / "train")
    return evaluation.joined(
        robustness.measure(limits, network, test, folder),
        behaviour.check(limits, classes, network, train, test, folder),
        attributions.explain(limits, classes, trained, network, test, probabilities, folder),
        representations.look(limits, classes, trained, val, test, probabilities, folder),
    )


def _parity(network: DeployedNetwork, package: Path, params: Any, test: Split) -> dict[str, float]:
    """The exported graph against the trained weights in PyTorch, on every unseen image."""
    trained = networks.load(package, params.collect)
    exported = network.run(test.pixels, "logits")
    return {
        "max_difference": float(np.abs(exported - (again := trained(test.pixels))).max()),
        "changed": int((exported.argmax(1) != again.argmax(1)).sum()),
    }


def _write_pictures(
    folder: Path,
    test: Split,
    probabilities: np.ndarray,
    right: np.ndarray,
    matrix: np.ndarray,
    classes: tuple[str, ...],
    paths: Paths,
    worst: int,
) -> None:
    pictures.confusion(matrix, classes, folder / "confusion.png")
    pictures.reliability(*calibration.reliability(probabilities, right), folder / "reliability.png")

    audit = pq.read_table(paths.labelled / "labels.parquet", columns=["item_id", "doubtful"])
    doubtful = set(audit.filter(audit["doubtful"])["item_id"].to_pylist())
    confidence = probabilities.max(1)
    wrong = np.flatnonzero(~right)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:worst]
    captions = [
        f"{classes[test.labels[i]]} read as {classes[probabilities[i].argmax()]}"
        f"{' (label?)' if test.ids[i] in doubtful else ''}\n{confidence[i]:.2f}"
        for i in shown
    ]
    pictures.gallery(
        test.pixels[shown],
        captions,
        folder / "errors.png",
        "Most confident errors; (label?) = audit doubts it",
    )
