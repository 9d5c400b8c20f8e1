"""An expectation of how a network behaves, and trying it on images: behaviour.py says which."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, get_args

import numpy as np

from pipeline.core.deployed_network import DeployedNetwork
from pipeline.core.statistics import Interval, wilson_interval
from pipeline.tasks.image_classification.data.dataset import Split

Kind = Literal["invariance", "directional", "minimum functionality"]
KINDS: tuple[Kind, ...] = get_args(Kind)
VALUES = 2**22  # pixel values changed at once, so that memory stays small whatever the size of the images
FAILURES_SHOWN = 5  # of each test
Failure = tuple[tuple[np.ndarray, np.ndarray], ...]


@dataclass(frozen=True)
class Answers:
    """probabilities: float (N, K) of N images; labels: int64 (N,), theirs"""

    probabilities: np.ndarray
    labels: np.ndarray

    @property
    def decision(self) -> np.ndarray:
        return self.probabilities.argmax(1)

    @property
    def confidence(self) -> np.ndarray:
        return self.probabilities.max(1)


@dataclass(frozen=True)
class Expectation:
    """words: what is expected, for a person; floor: share of the images that must pass, None where none is
    required; change: what is done to images uint8 (N, C, H, W); passes: answers before and after it to bool
    (N,); of_nothing: the change leaves nothing of the image, so that copies are one image, and there is
    no before."""

    name: str
    kind: Kind
    words: str
    floor: float | None
    remedy: str
    change: Callable[[np.ndarray, np.random.Generator], np.ndarray]
    passes: Callable[[Answers, Answers], np.ndarray]
    of_nothing: bool = False


@dataclass(frozen=True)
class Tried:
    """confidence_before, confidence_after: means; failures: the surest answers among them, each as an image
    uint8 (C, H, W) and its probabilities float (K,) before, if there is a before, and after."""

    what: Expectation
    images: int
    passed: int
    confidence_before: float | None
    confidence_after: float
    failures: tuple[Failure, ...]

    @property
    def share(self) -> float:
        return self.passed / self.images

    @property
    def interval(self) -> Interval:
        return wilson_interval(self.passed, self.images)


def tried(
    what: Expectation,
    images: Split,
    probabilities: np.ndarray,
    network: DeployedNetwork,
    rng: np.random.Generator,
) -> Tried:
    """probabilities: float (N, K), what the network says of the images as they are"""
    after, passed = [], []
    failures: list[Failure] = []
    seen: set[bytes] = set()
    part = max(1, VALUES // images.pixels[0].size)
    for start in range(0, len(images), part):
        rows = np.arange(start, min(start + part, len(images)))
        changed = what.change(images.pixels[rows], rng)
        if what.of_nothing:
            new = _first_seen(changed, seen)
            rows, changed = rows[new], changed[new]
            if not len(rows):
                continue
        known, found = probabilities[rows], network.run(changed, "probabilities")
        good = what.passes(Answers(known, images.labels[rows]), Answers(found, images.labels[rows]))
        for i in np.flatnonzero(~good):
            source = [] if what.of_nothing else [(images.pixels[rows[i]], known[i])]
            failures.append((*source, (changed[i], found[i])))
        failures = sorted(failures, key=lambda failure: -float(failure[-1][1].max()))[:FAILURES_SHOWN]
        after.append(found.max(1))
        passed.append(good)
    good = np.concatenate(passed)
    return Tried(
        what,
        len(good),
        int(good.sum()),
        None if what.of_nothing else float(probabilities.max(1).mean()),
        float(np.concatenate(after).mean()),
        tuple(failures),
    )


def _first_seen(pixels: np.ndarray, seen: set[bytes]) -> np.ndarray:
    """Which of the images were not seen yet, bool (N,); they are then."""
    new = np.zeros(len(pixels), dtype=bool)
    for i, image in enumerate(pixels):
        digest = sha256(image.tobytes()).digest()
        new[i] = digest not in seen
        seen.add(digest)
    return new
