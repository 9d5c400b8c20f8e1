"""What the label audit finds of injected errors, what correcting them brings, what a consensus is worth.

    python -m benchmarks.label_audit digits [--json FILE] [--noise 0.05] [--annotated 10000] [--seed 1]

Symmetric noise: a share of the training part's labels becomes another class, each as likely. The audit of the
stage `label` ranks all images; found is the share of the injected errors among as many images as were
injected. Errors that the data had before count as false alarms. Then an oracle corrects the whole queue, and
the effect is measured as the stage does. Last, annotators with known confusions label some images. All
intervals are of 95 %.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.images import parameters
from benchmarks.machine import machine
from pipeline.core import quiet
from pipeline.core.paths import Paths
from pipeline.core.statistics import paired_difference, wilson_interval
from pipeline.labels import consensus
from pipeline.tasks.image_classification.data import items
from pipeline.tasks.image_classification.parameters import Parameters

FOUND_MIN = 0.85  # of the injected errors, among the first of the queue
ACCURACIES = (0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6)  # of the simulated annotators
PER_IMAGE = 3  # annotators of each image
FAVOURITE = 0.5  # share of an annotator's errors that go to one neighbouring class


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("project", help="an image project of params.yaml, collected")
    parser.add_argument("--noise", type=float, default=0.05, help="share of labels made wrong (0.05)")
    parser.add_argument("--annotated", type=int, default=10000, help="images with annotators (10000)")
    parser.add_argument("--seed", type=int, default=1, help="of noise and annotators (1)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    quiet.silence()
    paths = Paths(Path.cwd(), arguments.project)
    params = parameters(paths)
    if not (paths.collected / items.TABLE).is_file():
        sys.exit(f"Nothing collected yet: `dvc repro collect@{arguments.project}` first.")
    table, mapped = items.read(paths.collected)
    pixels, labels = np.asarray(mapped), table["label"].to_numpy()
    trained = np.flatnonzero(np.array(table["part"].to_pylist()) != "test")
    rng = np.random.default_rng(arguments.seed)
    figures = {
        "machine": machine(),
        "project": arguments.project,
        "noise": arguments.noise,
        **audit(pixels, labels, inject(labels, trained, arguments.noise, params, rng), params),
        "consensus": annotated(pixels, labels, trained[: arguments.annotated], params, rng),
    }
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def inject(
    labels: np.ndarray, rows: np.ndarray, share: float, params: Parameters, rng: np.random.Generator
) -> np.ndarray:
    """The labels, int64 (N,), a share of those of `rows` another class."""
    classes = len(params.collect.classes)
    wrong = rng.choice(rows, round(share * len(rows)), replace=False)
    noisy = labels.copy()
    noisy[wrong] = (labels[wrong] + rng.integers(1, classes, len(wrong))) % classes
    return noisy


def audit(pixels: np.ndarray, labels: np.ndarray, noisy: np.ndarray, params: Parameters) -> dict[str, Any]:
    from pipeline.tasks.image_classification.learning import label_audit

    began = time.perf_counter()
    judged = label_audit.out_of_fold(pixels, noisy, params.label, params.collect)
    seconds = time.perf_counter() - began
    self_confidence = judged.probabilities[np.arange(len(noisy)), noisy]
    score = label_audit.scores(judged.aum, self_confidence)
    rankings = {"both": score, "aum": np.nan_to_num(judged.aum), "self_confidence": self_confidence}
    wrong = noisy != labels
    queue = label_audit.doubtful(noisy, judged.probabilities, score, np.zeros(len(noisy), dtype=bool))
    corrected = np.where(queue, labels, noisy)
    again = label_audit.out_of_fold(pixels, corrected, params.label, params.collect)
    return {
        "images": len(noisy),
        "injected": int(wrong.sum()),
        "audit_seconds": round(seconds, 1),
        "found": {name: found(wrong, values) for name, values in rankings.items()},
        "found_min": FOUND_MIN,
        "queue": {"images": int(queue.sum()), "injected": int((queue & wrong).sum())},
        "effect": asdict(label_audit.effect(noisy, corrected, judged, again, params.label)),
    }


def found(wrong: np.ndarray, score: np.ndarray) -> dict[str, Any]:
    """Of the images with the lowest scores, as many as are wrong: the share that is, with its interval."""
    from sklearn.metrics import average_precision_score

    count = int(wrong.sum())
    hits = int(wrong[np.argsort(score, kind="stable")[:count]].sum())
    low, high = wilson_interval(hits, count)
    precision = float(average_precision_score(wrong, -score))
    return {"share": hits / count, "interval": [low, high], "average_precision": precision}


def annotated(
    pixels: np.ndarray, labels: np.ndarray, rows: np.ndarray, params: Parameters, rng: np.random.Generator
) -> dict[str, Any]:
    """Consensus and majority of simulated annotators, with the audit's networks and with a guessing model."""
    from pipeline.tasks.image_classification.learning import label_audit

    truth, classes = labels[rows], len(params.collect.classes)
    given = annotators(truth, classes, rng)
    counted = consensus.votes(given, classes)
    guess = rng.dirichlet(np.ones(classes), len(rows))
    learnt = consensus.majority(counted, guess)
    networks = label_audit.out_of_fold(pixels[rows], learnt, params.label, params.collect).probabilities
    result: dict[str, Any] = {"images": len(rows), "annotators": len(ACCURACIES), "per_image": PER_IMAGE}
    for name, probabilities in (("networks", networks), ("guessing", guess)):
        merged = consensus.merge(given, probabilities)
        right = merged.labels == truth
        plain = consensus.majority(counted, probabilities) == truth
        gain, interval = paired_difference(right, plain, draws=params.label.draws, seed=params.label.seed)
        known = np.corrcoef(merged.annotator_quality, ACCURACIES)[0, 1]
        result[name] = {
            "method": merged.method,
            "model": float((probabilities.argmax(1) == truth).mean()),
            "majority": float(plain.mean()),
            "consensus": float(right.mean()),
            "gain": [gain, *interval],
            "quality_correlation": float(known),
        }
        result["alpha"] = merged.alpha
    return result


def annotators(truth: np.ndarray, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Labels float64 (A, M) of annotators with the accuracies above, NaN where one did not look at an image.

    Half of an annotator's errors take one class for a neighbour, which is another for each annotator.
    """
    count = len(ACCURACIES)
    given = np.empty((len(truth), count))
    for column, accuracy in enumerate(ACCURACIES):
        favourite = (truth + 1 + column % (classes - 1)) % classes
        other = (truth + rng.integers(1, classes, len(truth))) % classes
        error = np.where(rng.random(len(truth)) < FAVOURITE, favourite, other)
        given[:, column] = np.where(rng.random(len(truth)) < accuracy, truth, error)
    looked = rng.random((len(truth), count)).argsort(axis=1) < PER_IMAGE
    return np.where(looked, given, np.nan)


def show(figures: dict[str, Any]) -> None:
    print(f"{figures['machine']}\n")
    print(
        f"{figures['injected']:,} errors among {figures['images']:,} labels; "
        f"the audit took {figures['audit_seconds']:.0f} s\n"
    )
    print(f"{'':18}{'found':>26}{'average precision':>20}")
    for name, one in figures["found"].items():
        low, high = one["interval"]
        print(f"{name:18}{one['share']:10.4f} [{low:.4f}, {high:.4f}]{one['average_precision']:20.4f}")
    holds = "holds" if figures["found"]["both"]["share"] >= figures["found_min"] else "FAILS"
    print(f"required of both: at least {figures['found_min']}, {holds}")
    queue, effect = figures["queue"], figures["effect"]
    low, high = effect["interval"]
    print(
        f"\nqueue: {queue['images']:,} labels, {queue['injected']:,} of them injected; all corrected:\n"
        f"accuracy out of fold {effect['accuracy_before']:.4f} to {effect['accuracy_after']:.4f} "
        f"({effect['gain']:+.4f} [{low:+.4f}, {high:+.4f}]), doubtful {effect['doubtful_before']:,} to "
        f"{effect['doubtful_after']:,}"
    )
    people = figures["consensus"]
    print(
        f"\n{people['annotators']} annotators, {people['per_image']} an image, {people['images']:,} images, "
        f"alpha {people['alpha']:.3f}\n{'model':12}{'alone':>10}{'majority':>10}{'merged':>10}{'by':>12}"
    )
    for name in ("networks", "guessing"):
        one = people[name]
        gain, low, high = one["gain"]
        print(
            f"{name:12}{one['model']:10.4f}{one['majority']:10.4f}{one['consensus']:10.4f}{one['method']:>12}"
            f"   {gain:+.4f} [{low:+.4f}, {high:+.4f}]"
        )


if __name__ == "__main__":
    main()
