"""Optimisers and schedules by name, as a recipe in params.yaml chooses them.

training/optimisation.py makes them.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.core.parameters import Strict

BelowOne = Annotated[float, Field(ge=0, lt=1)]


class Sgd(Strict):
    """Stochastic gradient descent (Robbins and Monro 1951). momentum 0: none (Polyak 1964); nesterov: the
    gradient is that of the place which the momentum leads to (Nesterov 1983, Sutskever et al. 2013)."""

    name: Literal["sgd"]
    momentum: BelowOne
    nesterov: bool

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> "Sgd":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class RmsProp(Strict):
    """Each weight's gradient over the root of its mean square (Tieleman and Hinton 2012, lecture 6e).
    smoothing: share of that mean kept at each step."""

    name: Literal["rmsprop"]
    smoothing: BelowOne


class Adam(Strict):
    """Mean of the gradients over the root of their mean square (Kingma and Ba 2015, arXiv:1412.6980).
    betas: shares of both means kept at each step. Weight decay is added to the gradient."""

    name: Literal["adam"]
    betas: tuple[BelowOne, BelowOne]


class AdamW(Strict):
    """Adam whose decay shrinks the weights themselves (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    name: Literal["adamw"]
    betas: tuple[BelowOne, BelowOne]


class Constant(Strict):
    """The learning rate stays as it is."""

    name: Literal["constant"]


class Step(Strict):
    """The learning rate falls by `factor` where each of `milestones`, shares of all steps, is reached."""

    name: Literal["step"]
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(min_length=1)
    factor: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _rising(self) -> "Step":
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must rise, given {list(self.milestones)}")
        return self


class Cosine(Strict):
    """The learning rate rises linearly to its peak, then falls as a cosine to 0 (Loshchilov and Hutter 2017,
    arXiv:1608.03983; the rise as in Smith and Topin 2018, arXiv:1708.07120)."""

    name: Literal["cosine"]
    warmup_share: float = Field(gt=0, lt=1)


Optimiser = Annotated[Sgd | RmsProp | Adam | AdamW, Field(discriminator="name")]
Schedule = Annotated[Constant | Step | Cosine, Field(discriminator="name")]
