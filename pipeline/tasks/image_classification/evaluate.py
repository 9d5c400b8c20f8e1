"""Evaluating an image classifier on unseen images. Each subject is a file of testing/."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.deployed_network import DeployedNetwork
from pipeline.core.errors import IncompatibleModel
from pipeline.core.evaluation import Evaluation, Part, put_together
from pipeline.core.paths import Paths
from pipeline.core.pictures import curves
from pipeline.tasks.image_classification.data.corruptions import CORRUPTIONS, SEVERITIES
from pipeline.tasks.image_classification.data.dataset import Split, read_split
from pipeline.tasks.image_classification.parameters import Evaluate, Goals
from pipeline.tasks.image_classification.testing import (
    against_shallow,
    classification,
    coverage,
    errors,
    reliability,
    soundness,
)
from pipeline.tasks.image_classification.testing import slices as slicing
from pipeline.tasks.image_classification.testing.answers import ask

ROBUSTNESS_IMAGES = 1000  # unseen images that each corruption is tried on


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
    network = DeployedNetwork(paths.model)
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
            _robustness(network, test, limits.seed, folder),
        ],
    )


def _robustness(network: DeployedNetwork, test: Split, seed: int, folder: Path) -> Part:
    """Accuracy under each corruption, at severity 0 (none), 1, 2, 3."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(test), min(ROBUSTNESS_IMAGES, len(test)), replace=False))
    pixels, labels = test.pixels[rows], test.labels[rows]
    clean = float((network.run(pixels, "logits").argmax(1) == labels).mean())
    found = {
        name: [
            clean,
            *(
                float((network.run(corrupt(pixels, severity, rng), "logits").argmax(1) == labels).mean())
                for severity in SEVERITIES
            ),
        ]
        for name, corrupt in CORRUPTIONS.items()
    }
    severities = [0, *SEVERITIES]
    lines = {name: (severities, accuracy) for name, accuracy in found.items()}
    curves(lines, ("severity", "accuracy"), folder / "robustness.png")
    table = np.column_stack([severities, *found.values()])
    header = ",".join(["severity", *found])
    np.savetxt(folder / "robustness.csv", table, fmt="%.6g", delimiter=",", header=header, comments="")
    return Part(details={"robustness": found})
