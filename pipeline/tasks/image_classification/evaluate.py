"""Evaluating an image classifier on unseen images. Each subject is a file of testing/."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.deployed_network import DeployedNetwork
from pipeline.core.errors import IncompatibleModel
from pipeline.core.paths import Paths
from pipeline.tasks.image_classification.data.dataset import read_split
from pipeline.tasks.image_classification.learning import networks
from pipeline.tasks.image_classification.parameters import Evaluate, Goals
from pipeline.tasks.image_classification.testing import (
    against_shallow,
    attributions,
    behaviour,
    classification,
    coverage,
    errors,
    reliability,
    representations,
    robustness,
    soundness,
)
from pipeline.tasks.image_classification.testing import slices as slicing
from pipeline.tasks.image_classification.testing.answers import ask
from pipeline.testing.evaluation import Evaluation, put_together


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


def slices(params: Any, prepared: Path) -> Mapping[str, np.ndarray]:
    """Named parts of the unseen images, bool (N,) each, in the order of `scores`: classes and thirds of
    properties, the bounds of which are those of the training images."""
    test, train = read_split(prepared / "test"), read_split(prepared / "train")
    return slicing.of(test.pixels, test.labels, params.collect.classes, slicing.bounds(train.pixels))


def evaluate(params: Any, paths: Paths, folder: Path) -> Evaluation:
    """Writes predictions.npz, and the tables and pictures of each test, into `folder`."""
    limits: Evaluate = params.evaluate
    goals: Goals = params.goals
    classes = params.collect.classes
    train, val, test = (read_split(paths.prepared / name) for name in ("train", "val", "test"))
    network, trained = DeployedNetwork(paths.model), networks.trained(paths.model, params.collect)
    temperature = float(network.description["temperature"])
    answers, chosen_by = ask(network, test), ask(network, val)
    np.savez_compressed(
        folder / "predictions.npz", ids=test.ids, predicted=answers.predicted, right=answers.right
    )
    figures = classification.measure(answers, classes, limits, goals, folder)
    comparison = against_shallow.measure(answers, train, test, limits, folder)
    return put_together(
        f"{classification.sentence(figures)}; {against_shallow.sentence(comparison)}",
        [
            figures,
            reliability.measure(answers, temperature, len(val), limits, goals, folder),
            coverage.measure(answers, chosen_by, limits, folder),
            slicing.measure(answers, test, chosen_by, val, train, classes, limits.slices, folder),
            errors.measure(answers, test, classes, paths.labelled, limits.worst, folder),
            comparison,
            soundness.unseen(paths.model, test),
            soundness.export_parity(answers, paths.model, params, test),
            robustness.measure(limits, network, test, folder),
            behaviour.check(limits, classes, network, train, test, folder),
            attributions.explain(limits, classes, trained, network, test, answers.probabilities, folder),
            representations.look(limits, classes, trained, val, test, answers.probabilities, folder),
        ],
    )
