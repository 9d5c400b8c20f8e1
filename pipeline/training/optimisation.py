"""Optimisers and schedules of the learning rate, made of what a recipe says.

Its keys are declared in core/optimisation_parameters.py.
"""

from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, MultiStepLR

from pipeline.core.optimisation_parameters import Adam, AdamW, Cosine, Optimiser, RmsProp, Schedule, Sgd, Step
from pipeline.training.lightning_training import rise_and_fall


def optimiser(
    params: Optimiser, network: nn.Module, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Over all weights of `network`. Decay shrinks what multiplies the input (weights of two or more
    dimensions); biases and normalisation are left alone."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    match params:
        case Sgd():
            return torch.optim.SGD(
                groups, lr=learning_rate, momentum=params.momentum, nesterov=params.nesterov
            )
        case RmsProp():
            return torch.optim.RMSprop(groups, lr=learning_rate, alpha=params.smoothing)
        case Adam():
            return torch.optim.Adam(groups, lr=learning_rate, betas=params.betas)
        case AdamW():
            return torch.optim.AdamW(groups, lr=learning_rate, betas=params.betas)


def schedule(
    params: Schedule, stepped: torch.optim.Optimizer, learning_rate: float, steps: int
) -> LRScheduler:
    """Of `steps` steps of the optimiser, asked after each. learning_rate: the highest of the schedule."""
    match params:
        case Cosine():
            return rise_and_fall(stepped, learning_rate, steps, params.warmup_share)
        case Step():
            places = [round(share * steps) for share in params.milestones]
            return MultiStepLR(stepped, places, gamma=params.factor)
        case _:
            return ConstantLR(stepped, factor=1.0, total_iters=0)
