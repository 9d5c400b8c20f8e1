"""A network of depthwise separable convolutions.

A convolution of each channel for itself, then one of 1 x 1 that mixes the channels: nearly the same as an
ordinary convolution for about an eighth of the operations (3 x 3). Sifre 2014, "Rigid-Motion Scattering for
Image Classification"; Chollet 2016, Xception (arXiv:1610.02357); Howard et al. 2017, MobileNets
(arXiv:1704.04861), whose layer this is: both parts are normalised and followed by relu.
"""

from torch import nn

from pipeline.tasks.image_classification.learning.layers.initialisation import initialise
from pipeline.tasks.image_classification.learning.layers.raw_pixels import RawPixels
from pipeline.tasks.image_classification.parameters import Image
from pipeline.tasks.image_classification.recipe_parameters import Separable


def build(params: Separable, image: Image, classes: int, mean: list[float], std: list[float]) -> nn.Module:
    """pixels: uint8, or float in 0..255, (N, C, H, W) -> logits float32 (N, classes)"""
    inward = params.stem_channels
    layers = [RawPixels(mean, std), *_normalised(nn.Conv2d(
        image.channels, inward, 3, params.stem_stride, padding=1, bias=False
    ))]  # fmt: skip
    for channels, stride in zip(params.channels, params.strides, strict=True):
        layers += _normalised(nn.Conv2d(inward, inward, 3, stride, padding=1, groups=inward, bias=False))
        layers += _normalised(nn.Conv2d(inward, channels, 1, bias=False))
        inward = channels
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inward, classes)]
    network = nn.Sequential(*layers)
    initialise(network, "he")
    return network


def _normalised(convolution: nn.Conv2d) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()]
