"""A fully connected network of any depth (multilayer perceptron).

Trained by back-propagation after Rumelhart, Hinton and Williams 1986, "Learning representations by
back-propagating errors". Residual connections after He et al. 2015 (arXiv:1512.03385), in the order
normalisation, activation, weights of He et al. 2016, "Identity Mappings in Deep Residual Networks"
(arXiv:1603.05027). Without them the layers are the same, one after the other: this is the network in which
`fullcycle ablate` takes each advance away.
"""

import math
from itertools import pairwise

from torch import Tensor, nn

from pipeline.tasks.image_classification.learning.layers.activation import activation
from pipeline.tasks.image_classification.learning.layers.initialisation import initialise
from pipeline.tasks.image_classification.learning.layers.normalisation import of_vectors
from pipeline.tasks.image_classification.learning.layers.raw_pixels import RawPixels
from pipeline.tasks.image_classification.parameters import Image
from pipeline.tasks.image_classification.recipe_parameters import Mlp as Params


def build(params: Params, image: Image, classes: int, mean: list[float], std: list[float]) -> "Mlp":
    return Mlp(params, image, classes, mean, std)


class Mlp(nn.Module):
    """pixels: uint8, or float in 0..255, (N, C, H, W) -> logits float32 (N, classes)"""

    def __init__(
        self, params: Params, image: Image, classes: int, mean: list[float], std: list[float]
    ) -> None:
        super().__init__()
        pixels = math.prod((image.channels, image.height, image.width))
        widths = params.widths
        first = nn.Linear(pixels, widths[0], bias=_has_bias(params))
        self.input = nn.Sequential(RawPixels(mean, std), nn.Flatten(), first)
        self.hidden = nn.Sequential(*(Layer(params, *inward_outward) for inward_outward in pairwise(widths)))
        self.head = nn.Sequential(*_activated(params, widths[-1]), nn.Linear(widths[-1], classes))
        initialise(self, params.initialisation)

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.head(self.hidden(self.input(pixels)))
        return logits


class Layer(nn.Module):
    """weights(activation(normalisation(x))), added to x where it is residual and as wide as x.

    float32 (N, inward) -> (N, outward)
    """

    def __init__(self, params: Params, inward: int, outward: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(*_activated(params, inward), nn.Linear(inward, outward, _has_bias(params)))
        self.residual = params.residual and inward == outward

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return x + y if self.residual else y


def _has_bias(params: Params) -> bool:
    """Batch normalisation, which follows, takes away what a bias adds."""
    return params.normalisation != "batch"


def _activated(params: Params, width: int) -> tuple[nn.Module, nn.Module]:
    return of_vectors(params.normalisation, width), activation(params.activation)
