"""Normalisation by name: each layer gets inputs of mean 0 and variance 1, then scaled and shifted as learnt.

none    nothing
batch   each channel, over the images of a batch; in use over those of the training: Ioffe and Szegedy 2015
        (arXiv:1502.03167)
layer   each image, over its channels: Ba, Kiros and Hinton 2016 (arXiv:1607.06450). The same in training and
        in use, whatever the batch
"""

from torch import nn

from pipeline.tasks.image_classification.recipe_parameters import Normalisation


def of_vectors(name: Normalisation, width: int) -> nn.Module:
    """For float32 (N, width)."""
    match name:
        case "batch":
            return nn.BatchNorm1d(width)
        case "layer":
            return nn.LayerNorm(width)
        case "none":
            return nn.Identity()


def of_maps(name: Normalisation, channels: int) -> nn.Module:
    """For float32 (N, channels, H, W)."""
    match name:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "layer":
            return nn.GroupNorm(1, channels)  # one group of all channels is layer normalisation
        case "none":
            return nn.Identity()
