"""Attributions: which pixels an answer rests on, and whether pictures of them can be believed.

Two checks that can fail:
completeness  the integrated gradients of an image (attribution_methods.py) add up to what its logit is above
              that of the blank image; what is missing is the error of the sum that stands for the integral
deletion      painting the most attributed pixels first lowers the probability of the answer sooner than
              painting them in random order (deletion.py)
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core.deployed_network import DeployedNetwork
from pipeline.core.gates import Gate
from pipeline.core.statistics import Interval, bootstrap_interval
from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.parameters import Attributions, Evaluate
from pipeline.tasks.image_classification.testing import attribution_pictures
from pipeline.tasks.image_classification.testing.attribution_methods import integrated_gradients
from pipeline.tasks.image_classification.testing.deletion import SHARES, deletion
from pipeline.tasks.image_classification.testing.samples import drawn
from pipeline.testing.evaluation import Part

if TYPE_CHECKING:
    from torch import nn


def explain(
    limits: Evaluate,
    classes: tuple[str, ...],
    network: "nn.Module",
    deployed: DeployedNetwork,
    test: Split,
    probabilities: np.ndarray,
    folder: Path,
) -> Part:
    """Writes attributions.png, attributions_of_errors.png and deletion.png into `folder`.

    network: the trained one in PyTorch; deployed: the same, exported; probabilities: float (N, K), its
    answers to `test`
    """
    params = limits.attributions
    sample = drawn(test, params.images, limits.seed)
    answers = deployed.run(sample.pixels, "probabilities").argmax(1)
    found, unexplained = integrated_gradients(network, sample.pixels, answers, params.steps)
    tried = deletion(deployed, sample.pixels, answers, found, limits.seed)
    gain = tried.gain
    gain_interval = bootstrap_interval(
        lambda rows: float(gain[rows].mean()), len(gain), draws=limits.draws, seed=limits.seed
    )
    attribution_pictures.draw_deletion(tried, folder / "deletion.png")
    asked = (params, classes, network, test, probabilities)
    attribution_pictures.draw_right(*asked, folder / "attributions.png")
    attribution_pictures.draw_errors(*asked, folder / "attributions_of_errors.png")
    metrics = {"attribution_unexplained": unexplained, "attribution_deletion_gain": float(gain.mean())}
    return Part(
        metrics=metrics,
        intervals={"attribution_deletion_gain": gain_interval},
        gates=_gates(params, unexplained, float(gain.mean()), gain_interval),
        details={
            "attributions": {
                "images": len(sample),
                "unexplained": unexplained,
                "deletion_gain": float(gain.mean()),
                "deletion_gain_interval": gain_interval,
                "deleted": list(SHARES),
                "probability_by_attribution": tried.by_attribution.mean(0).tolist(),
                "probability_at_random": tried.at_random.mean(0).tolist(),
            }
        },
    )


def _gates(params: Attributions, unexplained: float, gain: float, interval: Interval) -> tuple[Gate, ...]:
    gates = []
    if params.unexplained_max is not None:
        gates.append(Gate(
            "attribution_unexplained", unexplained, "at most", params.unexplained_max, "testing",
            "raise evaluate.attributions.steps.",
        ))  # fmt: skip
    if params.deletion_gain_min is not None:
        gates.append(Gate(
            "attribution_deletion_gain", gain, "at least", params.deletion_gain_min, "testing",
            "do not believe evaluation/attributions.png: what it marks matters no more than the rest.",
            interval,
        ))  # fmt: skip
    return tuple(gates)
