"""Checks of seconds before the long run; each that fails stops it and says what that means."""

import copy

import numpy as np
import torch

from pipeline.core.errors import ModelError
from pipeline.tasks.recommendation.learning.examples import Examples
from pipeline.tasks.recommendation.learning.fitting import MINUS_INFINITY, listwise
from pipeline.tasks.recommendation.learning.networks.ranker import Ranker

BATCH = 32  # questions
OVERFIT_STEPS = 60
OVERFIT_RATE = 0.01  # AdamW's; a network that can learn at all overfits one batch with it
OVERFIT_SHARE = 0.8  # of the loss above its floor that may be left at most


def check(ranker: Ranker, train: Examples) -> dict[str, float]:
    """Runs all checks on a copy of `ranker`; the network itself is left as it is. Returns the figures met."""
    rows = np.linspace(0, len(train) - 1, min(BATCH, len(train))).astype(int)
    arguments = tuple(torch.from_numpy(array) for array in train.inputs.given(rows))
    relevant = torch.from_numpy(train.relevant[rows])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trial = copy.deepcopy(ranker)
        return {
            "mflop_per_question": _mflop(trial, arguments),
            **_overfit_one_batch(trial, arguments, relevant),
        }


def _mflop(ranker: Ranker, arguments: tuple[torch.Tensor, ...]) -> float:
    """Million floating-point operations of the forward pass for one question (a multiply-add is two)."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        ranker.eval()(*(array[:1] for array in arguments))
    return counter.get_total_flops() / 1e6


def _overfit_one_batch(
    ranker: Ranker, arguments: tuple[torch.Tensor, ...], relevant: torch.Tensor
) -> dict[str, float]:
    """An untrained network ranks at random, every weight takes part, and one batch can be learnt by heart."""
    there = arguments[0] >= 0
    count = relevant.sum(dim=1)
    weight = count.sqrt()
    at_random = float((there.sum(dim=1).float().log() * weight).sum() / weight.sum())
    floor = float((count.clamp(min=1).log() * weight).sum() / weight.sum())
    ranker.train()
    optimiser = torch.optim.AdamW(ranker.parameters(), lr=OVERFIT_RATE)
    losses = []
    for step in range(OVERFIT_STEPS):
        scores = ranker(*arguments).masked_fill(~there, MINUS_INFINITY)
        loss = listwise(scores, relevant)
        optimiser.zero_grad()
        loss.backward()
        if step == 0:
            idle = [n for n, p in ranker.named_parameters() if p.grad is None or not p.grad.any()]
            if idle:
                raise ModelError(f"train: no gradient reaches {', '.join(idle)}; they would never learn.")
        optimiser.step()
        losses.append(float(loss.detach()))
    first, last = losses[0], losses[-1]
    if not 0.8 * at_random < first < 1.5 * at_random:
        raise ModelError(
            f"train: the untrained network's loss is {first:.3f}, about the logarithm of the candidates "
            f"= {at_random:.3f} is right. Its initialisation or the scale of its input is off."
        )
    if not last - floor < OVERFIT_SHARE * (first - floor):
        raise ModelError(
            f"train: one batch of {len(relevant)} questions could not be learnt by heart: the loss went "
            f"from {first:.3f} to {last:.3f} in {OVERFIT_STEPS} steps, {floor:.3f} is its floor. Inputs and "
            "answers may not belong together, or the network cannot learn."
        )
    return {"initial_loss": first, "overfit_loss": last}
