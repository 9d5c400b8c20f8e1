"""The layers of any network of learning/networks/, and what each of them makes of images.

A layer is a module with weights and all that follows it without any, up to the next one: normalisation,
activation. A residual block is one layer. What only moves or joins places (pooling, flattening) is left out,
so that maps are seen before they are joined.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

VALUES = 2**17  # pixel values that go through the network at once; activations are many times as many
FEATURES = 2048  # numbers of a layer that are looked at; more are averaged over neighbouring places


@dataclass(frozen=True)
class Layer:
    """number: from 1, the first behind the pixels; module: whose output is the layer's"""

    number: int
    module: "nn.Module"


def of(network: "nn.Module", most: int) -> list[Layer]:
    """At most `most` layers, evenly spaced, the last one (the logits) among them."""
    from torch import nn

    ends: list[nn.Module] = []
    for module in _chain(network):
        if any(p.ndim > 1 for p in module.parameters()):
            ends.append(module)
        elif ends and not isinstance(module, nn.Flatten | nn.MaxPool2d | nn.AdaptiveAvgPool2d | nn.Identity):
            ends[-1] = module
    places = np.unique(np.linspace(0, len(ends) - 1, min(most, len(ends))).round().astype(int))
    return [Layer(int(place) + 1, ends[place]) for place in places[-most:]]


def activations(network: "nn.Module", layers: list[Layer], pixels: np.ndarray) -> list["Tensor"]:
    """What each layer answers, float32 (N, C, h, w) or (N, D). pixels: uint8 (N, C, H, W), few enough for
    memory"""
    import torch
    from captum.attr import LayerActivation

    method = LayerActivation(network, [layer.module for layer in layers])
    found: list[Tensor] = method.attribute(torch.from_numpy(np.array(pixels, np.float32)))
    return found


def words(shape: Sequence[int]) -> str:
    """What a layer answers for one image, for a person. shape: (C, h, w) or (D,)"""
    if len(shape) == 1:
        return f"{shape[0]} numbers"
    maps = "" if shape[0] == 1 else f"{shape[0]} maps of "
    return f"{maps}{shape[1]} × {shape[2]}"


def features(network: "nn.Module", layers: list[Layer], pixels: np.ndarray) -> list[np.ndarray]:
    """What each layer answers, as at most FEATURES numbers an image, float32 (N, D); the first entry is
    the pixels themselves."""
    import torch

    at_once = max(1, VALUES // pixels[0].size)
    parts = []
    for start in range(0, len(pixels), at_once):
        some = pixels[start : start + at_once]
        raw = torch.from_numpy(np.array(some, np.float32) / 255)
        parts.append([_few(a).numpy() for a in (raw, *activations(network, layers, some))])
    return [np.concatenate(of_layer) for of_layer in zip(*parts, strict=True)]


def _few(activation: "Tensor") -> "Tensor":
    from torch.nn import functional as F

    if activation.ndim == 4 and activation[0].numel() > FEATURES:
        side = max(1, int((FEATURES / activation.shape[1]) ** 0.5))
        height, width = (min(side, size) for size in activation.shape[2:])
        activation = F.adaptive_avg_pool2d(activation, (height, width))
    return activation.flatten(1)


def _chain(module: "nn.Module") -> Iterator["nn.Module"]:
    """The modules in the order in which images go through them; containers are opened, blocks are not."""
    from torch import nn

    for child in module.children():
        if isinstance(child, nn.Sequential):
            yield from _chain(child)
        else:
            yield child
