"""Behaviour: what is expected of the network whatever its accuracy, tested one expectation at a time.

After Ribeiro et al. 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList"
(arXiv:2005.04118), whose three kinds of tests are carried over to images:

invariance             an edit after which a person would say the same (data/edits.py) changes no decision
directional            spoiling an image (data/corruptions.py) makes the network no surer of what it answers;
                       an image of nothing (data/intruders.py) is not answered surely
minimum functionality  the images to learn from that are most like the mean of their class are simple cases:
                       they are right, as they are and moved by a pixel

An image passes a test or fails it; of a test its share of passes is told, with an interval.
"""

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.deployed_network import DeployedNetwork
from pipeline.core.gates import Gate
from pipeline.tasks.image_classification.data.corruptions import CORRUPTIONS, SEVERITIES
from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.data.edits import EDITS
from pipeline.tasks.image_classification.data.intruders import INTRUDERS
from pipeline.tasks.image_classification.parameters import Behaviour, Evaluate
from pipeline.tasks.image_classification.testing import grids, typical
from pipeline.tasks.image_classification.testing.expectations import KINDS, Answers, Expectation, Tried, tried
from pipeline.tasks.image_classification.testing.samples import drawn
from pipeline.testing.evaluation import Part

SPOILT = SEVERITIES[-1]


def check(
    limits: Evaluate,
    classes: tuple[str, ...],
    network: DeployedNetwork,
    train: Split,
    test: Split,
    folder: Path,
) -> Part:
    """Writes behaviour.csv and behaviour.png (failures) into `folder`."""
    params, rng = limits.behaviour, np.random.default_rng(limits.seed)
    unseen = drawn(test, params.images, limits.seed)
    simple = typical.of_each_class(train, params.typical_images)
    tests = []
    for images, expectations in ((unseen, _of_unseen(params)), (simple, _of_typical(params))):
        probabilities = network.run(images.pixels, "probabilities")
        tests += [tried(what, images, probabilities, network, rng) for what in expectations]
    _write(tests, folder / "behaviour.csv")
    _draw(tests, classes, folder / "behaviour.png")
    shares = {kind: float(np.mean([t.share for t in tests if t.what.kind == kind])) for kind in KINDS}
    return Part(
        metrics={f"behaviour_{kind.replace(' ', '_')}": share for kind, share in shares.items()},
        gates=tuple(
            Gate(f"behaviour_{test.what.name.replace(' ', '_')}", test.share, "at least", test.what.floor,
                 "training", f"{test.what.remedy}; see evaluation/behaviour.png.", test.interval)
            for test in tests if test.what.floor is not None
        ),
        details={"behaviour": [_as_json(test) for test in tests]},
    )  # fmt: skip


def _spoilt(corruption: str, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return CORRUPTIONS[corruption](pixels, SPOILT, rng)


def _of_unseen(params: Behaviour) -> Iterator[Expectation]:
    for edit, floor in params.invariance.items():
        yield Expectation(
            f"same after {edit}", "invariance", "the decision stays", floor,
            f"train with images changed by {edit}",
            EDITS[edit], _same_decision,
        )  # fmt: skip
    for name, floor in params.less_sure.items():
        yield Expectation(
            f"no surer after {name}", "directional",
            f"confidence rises by {params.confidence_rise_max} at most", floor,
            f"train with images spoilt by {name}",
            partial(_spoilt, name),
            lambda before, after: after.confidence - before.confidence <= params.confidence_rise_max,
        )  # fmt: skip
    for intruder, floor in params.unsure.items():
        yield Expectation(
            f"unsure of {intruder}", "directional", f"confidence stays below {params.sure}", floor,
            "train with images of no class, or let the service refuse what is unlike the training images",
            INTRUDERS[intruder], lambda before, after: after.confidence < params.sure,
            of_nothing=True,
        )  # fmt: skip


def _of_typical(params: Behaviour) -> Iterator[Expectation]:
    for name, change in (("typical images right", _unchanged), ("moved ones right", EDITS["shift"])):
        yield Expectation(
            name, "minimum functionality", "the answer is the label", params.typical,
            "look at the labels of these images, then train longer",
            change, _right,
        )  # fmt: skip


def _same_decision(before: Answers, after: Answers) -> np.ndarray:
    return before.decision == after.decision


def _right(_: Answers, after: Answers) -> np.ndarray:
    return after.decision == after.labels


def _unchanged(pixels: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return pixels


def _as_json(test: Tried) -> dict[str, Any]:
    return {
        "test": test.what.name,
        "kind": test.what.kind,
        "expectation": test.what.words,
        "images": test.images,
        "passed": test.passed,
        "share": test.share,
        "interval": test.interval,
        "required": test.what.floor,
        "mean_confidence_before": test.confidence_before,
        "mean_confidence_after": test.confidence_after,
    }


def _write(tests: list[Tried], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["kind", "test", "expectation", "images", "passed", "share", "low", "high", "required"]
        )
        for test in tests:
            what, figures = test.what, (f"{value:.6g}" for value in (test.share, *test.interval))
            required = "" if what.floor is None else what.floor
            writer.writerow([what.kind, what.name, what.words, test.images, test.passed, *figures, required])


def _draw(tests: list[Tried], classes: tuple[str, ...], path: Path) -> None:
    """A row for each test that not every image passes: some that fail, before and after."""
    rows = []
    for test in tests:
        if not test.failures:
            continue
        every = [seen for failure in test.failures for seen in failure]
        captions = [f"{classes[answer.argmax()]}\n{answer.max():.2f}" for _, answer in every]
        heading = f"{test.what.name}: fails for {test.images - test.passed} of {test.images}"
        images = [grids.shown(image) for image, _ in every]
        rows.append(grids.Row(heading, images, captions, group=len(test.failures[0])))
    explained = (
        "the surest of each test, in pairs as they were and after the change; above: answer, confidence"
    )
    title = f"What the network does not do as expected\n{explained}" if rows else "All was as expected"
    grids.draw(rows, title, path)
