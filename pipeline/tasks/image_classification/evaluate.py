"""Evaluating an image classifier on unseen images. Each subject is a file of testing/."""

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
    errors,
    reliability,
    soundness,
)
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


def evaluate(params: Any, paths: Paths, folder: Path) -> Evaluation:
    """Writes predictions.npz, and the tables and pictures of each test, into `folder`."""
    limits: Evaluate = params.evaluate
    goals: Goals = params.goals
    classes = params.collect.classes
    train, test = read_split(paths.prepared / "train"), read_split(paths.prepared / "test")
    network = DeployedNetwork(paths.model)
    answers = ask(network, test)
    np.savez_compressed(
        folder / "predictions.npz", ids=test.ids, predicted=answers.predicted, right=answers.right
    )
    found = classification.measure(answers, classes, goals, folder)
    comparison = against_shallow.measure(answers, train, test, limits, folder)
    errors.show(answers, test, classes, paths.labelled, limits.worst, folder)
    low, high = found.intervals["accuracy"]
    best = comparison.details["shallow"][0]
    return put_together(
        f"accuracy {found.metrics['accuracy']:.4f} [{low:.4f}, {high:.4f}] on {len(answers):,} unseen images; "
        f"{best['gain']:+.4f} over {best['name'].replace('_', ' ')}, the best shallow comparator",
        [
            found,
            reliability.measure(answers, limits, goals, folder),
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
