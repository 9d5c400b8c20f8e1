"""Checks of seconds before the long run (training/debugging_checks.py) and the network's cost."""

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.tasks.image_classification.parameters import Train
from pipeline.training import debugging_checks as checks
from pipeline.training import optimisation
from pipeline.training.debugging_checks import Trial

BATCH = 32  # images
IMAGES = 1600  # in the sample, at most
OVERFIT_SHARE = 0.3  # of the first loss that may be left at most


def check(network: nn.Module, params: Train, train: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """Runs all checks on a copy of `network`; the network itself is left as it is.

    train: pixels uint8 (N, C, H, W), labels int64 (N,). Returns the figures met.
    """
    rows = np.random.default_rng(params.seed).permutation(len(train[1]))[:IMAGES]
    pixels, labels = torch.from_numpy(train[0][rows]), torch.from_numpy(train[1][rows])
    with torch.random.fork_rng():
        torch.manual_seed(params.seed)
        trial = Trial(
            network=copy.deepcopy(network),
            inputs=[pixels],
            targets=[labels],
            loss=_loss,
            mixed_up=_mixed_up,
            optimiser=lambda of, rate: optimisation.optimiser(
                params.optimiser, of, rate, params.weight_decay
            ),
            batch=BATCH,
            unit="images",
        )
        figures = {"mflop_per_image": mflop(trial.network, pixels)}
        classes = trial.network(pixels[:2]).shape[1]
        checks.all_numbers(trial)
        figures["silent_units"] = checks.units_answer(trial, params.watch.silent_share_max)
        # A network that knows nothing gives each class 1/C.
        figures["initial_loss"] = checks.initial_loss(trial, math.log(classes), 0.5, 2.5, "ln(classes)")
        checks.rows_are_independent(trial)
        untrained = copy.deepcopy(trial)
        figures["overfit_loss"] = checks.overfits_one_batch(trial, 0.0, OVERFIT_SHARE)
        rate = params.learning_rate
        figures["suggested_learning_rate"] = checks.learning_rate_range(untrained, rate, params.checks)
        z = checks.targets_belong(untrained, rate, params.checks)
    return figures if z is None else figures | {"line_up_z": z}


def _loss(logits: Tensor, _: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    return F.cross_entropy(logits, targets[0])


def _mixed_up(targets: Sequence[Tensor], _: Sequence[Tensor]) -> list[Tensor]:
    labels = targets[0]
    return [labels[torch.randperm(len(labels))]]


def mflop(network: nn.Module, pixels: torch.Tensor) -> float:
    """Million floating-point operations of the forward pass for one image (a multiply-add is two)."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        copy.deepcopy(network).eval()(pixels[:1])
    return counter.get_total_flops() / 1e6
