"""One layer: each class is a weighted sum of the pixels.

The perceptron is by Rosenblatt 1958, "The perceptron: a probabilistic model for information storage and
organization in the brain"; its steps are replaced here by softmax and gradient descent, which makes it
multinomial logistic regression. What it cannot learn, whatever the data (Minsky and Papert 1969), is why
networks have hidden layers.
"""

import math

from torch import nn

from pipeline.tasks.image_classification.learning.layers.initialisation import initialise
from pipeline.tasks.image_classification.learning.layers.raw_pixels import RawPixels
from pipeline.tasks.image_classification.parameters import Image
from pipeline.tasks.image_classification.recipe_parameters import Perceptron


def build(params: Perceptron, image: Image, classes: int, mean: list[float], std: list[float]) -> nn.Module:
    pixels = math.prod((image.channels, image.height, image.width))
    network = nn.Sequential(RawPixels(mean, std), nn.Flatten(), nn.Linear(pixels, classes))
    initialise(network, params.initialisation)
    return network
