"""Activations by name.

sigmoid   1 / (1 + exp(-x)); Rumelhart, Hinton and Williams 1986, "Learning representations by
          back-propagating errors". Its slope is at most 1/4, so that gradients shrink with each layer.
tanh      sigmoid, centred on 0: LeCun et al. 1998, "Efficient BackProp". Slope 1 at 0, nearly 0 far from it.
relu      max(0, x): Nair and Hinton 2010, Glorot, Bordes and Bengio 2011. Slope 1 wherever it is active.
gelu      x times the probability that a standard normal variable is below x: Hendrycks and Gimpel 2016
          (arXiv:1606.08415). Smooth where relu has its kink.
"""

from torch import nn

from pipeline.tasks.image_classification.recipe_parameters import Activation

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
}


def activation(name: Activation) -> nn.Module:
    return ACTIVATIONS[name]()
