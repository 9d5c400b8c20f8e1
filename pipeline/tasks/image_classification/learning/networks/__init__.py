"""The networks by name; one readable file each, with `build(params, image, classes, mean, std)`."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core import model_package
from pipeline.tasks.image_classification.parameters import Collect, Image
from pipeline.tasks.image_classification.recipe_parameters import Network

if TYPE_CHECKING:
    import numpy as np
    from torch import nn


def build(params: Network, image: Image, classes: int, mean: list[float], std: list[float]) -> "nn.Module":
    """A fresh network; its weights come from torch's global generator.

    mean, std: of each channel of the training pixels, in [0, 1]
    The network takes raw uint8 pixels (N, C, H, W), so that training and serving cannot differ in
    how they normalise, and answers logits float32 (N, classes).
    """
    module = importlib.import_module(f"pipeline.tasks.image_classification.learning.networks.{params.name}")
    network: nn.Module = module.build(params, image, classes, mean, std)
    return network


def trained(package: Path, collect: Collect) -> "nn.Module":
    """The trained network of a model package in PyTorch, in evaluation mode and with its weights fixed."""
    from pydantic import TypeAdapter
    from safetensors.torch import load_file

    shape: Network = TypeAdapter(Network).validate_python(model_package.verify(package)["network"])
    channels = collect.image.channels
    # The statistics are among the weights; these stand in until they are loaded.
    network = build(shape, collect.image, len(collect.classes), [0.0] * channels, [1.0] * channels)
    network.load_state_dict(load_file(package / model_package.WEIGHTS))
    return network.eval().requires_grad_(False)


def load(package: Path, collect: Collect) -> "Callable[[np.ndarray], np.ndarray]":
    """The same network as a function: uint8 (N, C, H, W) to logits (N, K)."""
    from pipeline.tasks.image_classification.learning.fitting import predict

    network = trained(package, collect)
    return lambda pixels: predict(network, pixels)
