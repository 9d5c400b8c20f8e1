"""Checks of seconds before the long run (training/debugging_checks.py) and the network's cost."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pipeline.tasks.recommendation.learning.examples import Examples
from pipeline.tasks.recommendation.learning.fitting import MINUS_INFINITY, listwise
from pipeline.tasks.recommendation.learning.networks.ranker import Ranker
from pipeline.tasks.recommendation.parameters import Train
from pipeline.training import debugging_checks as checks
from pipeline.training import optimisation
from pipeline.training.debugging_checks import Trial

BATCH = 32  # questions
QUESTIONS = 800  # in the sample, at most
OVERFIT_SHARE = 0.8  # of the loss above its floor that may be left at most


def check(ranker: Ranker, params: Train, train: Examples) -> dict[str, float]:
    """Runs all checks on a copy of `ranker`; the network itself is left as it is. Returns the figures met."""
    rows = np.random.default_rng(params.seed).permutation(len(train))[:QUESTIONS]
    with torch.random.fork_rng():
        torch.manual_seed(params.seed)
        trial = Trial(
            network=copy.deepcopy(ranker),
            inputs=[torch.from_numpy(array) for array in train.inputs.given(rows)],
            targets=[torch.from_numpy(train.relevant[rows])],
            loss=_loss,
            mixed_up=_mixed_up,
            optimiser=lambda of, rate: optimisation.optimiser(
                params.optimiser, of, rate, params.weight_decay
            ),
            batch=BATCH,
            unit="questions",
        )
        (products, *_), (relevant,) = trial.first
        count = relevant.sum(dim=1)
        weight = count.sqrt()
        # A network that knows nothing ranks at random; a perfect one shares its answer among the relevant.
        at_random = float(((products >= 0).sum(dim=1).float().log() * weight).sum() / weight.sum())
        floor = float((count.clamp(min=1).log() * weight).sum() / weight.sum())
        figures = {"mflop_per_question": _mflop(trial)}
        checks.all_numbers(trial)
        figures["silent_units"] = checks.units_answer(trial, params.watch.silent_share_max)
        figures["initial_loss"] = checks.initial_loss(trial, at_random, 0.8, 1.5, "ln(candidates)")
        checks.rows_are_independent(trial)
        untrained = copy.deepcopy(trial)
        figures["overfit_loss"] = checks.overfits_one_batch(trial, floor, OVERFIT_SHARE)
        rate = params.learning_rate
        figures["suggested_learning_rate"] = checks.learning_rate_range(untrained, rate, params.checks)
        z = checks.targets_belong(untrained, rate, params.checks)
    return figures if z is None else figures | {"line_up_z": z}


def _loss(scores: Tensor, inputs: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    return listwise(scores.masked_fill(inputs[0] < 0, MINUS_INFINITY), targets[0])


def _mixed_up(targets: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
    """As many relevant candidates of each question, drawn among its candidates."""
    draws = torch.rand(inputs[0].shape).masked_fill(inputs[0] < 0, -1.0)
    rank = draws.argsort(dim=1, descending=True).argsort(dim=1)
    return [(rank < targets[0].sum(dim=1, keepdim=True)).float()]


def _mflop(trial: Trial) -> float:
    """Million floating-point operations of the forward pass for one question (a multiply-add is two)."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        trial.network.eval()(*(tensor[:1] for tensor in trial.inputs))
    return counter.get_total_flops() / 1e6
