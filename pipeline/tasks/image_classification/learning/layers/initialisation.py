"""Initial weights by name. Biases begin at 0.

A layer of n inputs multiplies the variance of a signal by n times the variance of its weights: what is
not about 1 becomes nothing, or infinite, over many layers.

normal   mean 0, standard deviation 0.01 whatever the layer: Krizhevsky et al. 2012 (AlexNet). In eight layers
         it could be trained; in thirty the signal is gone (He et al. 2015, figure 3).
xavier   variance 2 / (inputs + outputs), which keeps signal and gradient where activations are linear around
         0: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward networks"
he       variance 2 / inputs, since relu passes on half of its input: He et al. 2015, "Delving Deep into
         Rectifiers" (arXiv:1502.01852)
"""

from torch import nn

from pipeline.tasks.image_classification.recipe_parameters import Initialisation

NORMAL_STD = 0.01


def initialise(network: nn.Module, name: Initialisation) -> None:
    """Draws the weights of all fully connected and convolutional layers anew, from torch's generator."""
    for layer in network.modules():
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            continue
        match name:
            case "normal":
                nn.init.normal_(layer.weight, std=NORMAL_STD)
            case "xavier":
                nn.init.xavier_normal_(layer.weight)
            case "he":
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
