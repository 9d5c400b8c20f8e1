"""Checks of seconds before the long run; each that fails stops it and says what that means."""

import copy
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from pipeline.core.errors import ModelError
from pipeline.tasks.image_classification.recipe_parameters import Recipe

BATCH = 64  # images
OVERFIT_STEPS = 60
OVERFIT_RATE = 0.01  # AdamW's; a network that can learn at all overfits one batch with it


def check(network: nn.Module, recipe: Recipe, train: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """Runs all checks on a copy of `network`; the network itself is left as it is.

    train: pixels uint8 (N, C, H, W), labels int64 (N,). Returns the figures met.
    """
    rng = np.random.default_rng(recipe.epochs)
    rows = np.sort(rng.choice(len(train[1]), min(BATCH, len(train[1])), replace=False))
    pixels, labels = torch.from_numpy(train[0][rows]), torch.from_numpy(train[1][rows])
    with torch.random.fork_rng():
        trial = copy.deepcopy(network)
        figures = {
            "mflop_per_image": mflop(trial, pixels),
            "initial_loss": _initial_loss(trial, pixels, labels),
        }
        figures["overfit_loss"] = _overfit_one_batch(trial, pixels, labels)
    return figures


def mflop(network: nn.Module, pixels: torch.Tensor) -> float:
    """Million floating-point operations of the forward pass for one image (a multiply-add is two)."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network.eval()(pixels[:1])
    return counter.get_total_flops() / 1e6


def _initial_loss(network: nn.Module, pixels: torch.Tensor, labels: torch.Tensor) -> float:
    """A network that knows nothing gives each class 1/C: its loss is near ln C."""
    with torch.no_grad():
        logits = network.train()(pixels)
        loss = float(F.cross_entropy(logits, labels))
    expected = math.log(logits.shape[1])
    if not 0.5 * expected < loss < 2.5 * expected:
        raise ModelError(
            f"train: the untrained network's loss is {loss:.3f}, about ln(classes) = {expected:.3f} is "
            "right. Its initialisation or the scale of its input is off."
        )
    return loss


def _overfit_one_batch(network: nn.Module, pixels: torch.Tensor, labels: torch.Tensor) -> float:
    """Any working network can learn one batch by heart, and every weight takes part."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=OVERFIT_RATE)
    first = None
    for step in range(OVERFIT_STEPS):
        loss = F.cross_entropy(network(pixels), labels)
        optimiser.zero_grad()
        loss.backward()
        if step == 0:
            first = float(loss.detach())
            idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
            if idle:
                raise ModelError(f"train: no gradient reaches {', '.join(idle)}; they would never learn.")
        optimiser.step()
    last = float(loss.detach())
    assert first is not None
    if not last < 0.3 * first:
        raise ModelError(
            f"train: one batch of {len(labels)} images could not be learnt by heart: the loss went from "
            f"{first:.3f} to {last:.3f} in {OVERFIT_STEPS} steps. Inputs and labels may not belong "
            "together, or the network cannot learn."
        )
    return last
