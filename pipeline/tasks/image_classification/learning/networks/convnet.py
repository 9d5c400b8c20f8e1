"""A plain convolutional network: convolutions with pooling, then fully connected layers.

After LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition" (LeNet-5: two
convolutions, tanh, three fully connected layers) and Krizhevsky, Sutskever and Hinton 2012, "ImageNet
Classification with Deep Convolutional Neural Networks" (AlexNet: relu, maximum pooling). Which of them it
resembles is said by params.yaml; normalisation came later (layers/normalisation.py).
"""

from torch import nn

from pipeline.core.errors import ParameterError
from pipeline.tasks.image_classification.learning.layers.activation import activation
from pipeline.tasks.image_classification.learning.layers.initialisation import initialise
from pipeline.tasks.image_classification.learning.layers.normalisation import of_maps, of_vectors
from pipeline.tasks.image_classification.learning.layers.raw_pixels import RawPixels
from pipeline.tasks.image_classification.parameters import Image
from pipeline.tasks.image_classification.recipe_parameters import Convnet


def build(params: Convnet, image: Image, classes: int, mean: list[float], std: list[float]) -> nn.Module:
    """pixels: uint8, or float in 0..255, (N, C, H, W) -> logits float32 (N, classes)"""
    height, width = image.height // params.shrinks, image.width // params.shrinks
    if not height * width:
        raise ParameterError(
            f"params.yaml: network.channels: {len(params.channels)} convolutions, each halving the image, "
            f"leave nothing of {image.height} x {image.width} pixels. Name fewer, or larger images."
        )
    # Batch normalisation takes away what a bias adds.
    bias = params.normalisation != "batch"
    layers: list[nn.Module] = [RawPixels(mean, std)]
    inward: int = image.channels
    for channels in params.channels:
        layers += [
            nn.Conv2d(inward, channels, params.kernel, padding="same", bias=bias),
            of_maps(params.normalisation, channels),
            activation(params.activation),
            nn.MaxPool2d(2),
        ]
        inward = channels
    layers.append(nn.Flatten())
    inward *= height * width
    for hidden in params.hidden:
        layers += [
            nn.Linear(inward, hidden, bias=bias),
            of_vectors(params.normalisation, hidden),
            activation(params.activation),
        ]
        inward = hidden
    network = nn.Sequential(*layers, nn.Linear(inward, classes))
    initialise(network, params.initialisation)
    return network
