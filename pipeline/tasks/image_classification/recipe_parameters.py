"""How a classifier is trained: the recipe of `train`, of the label audit and of the pilots of `forecast`."""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.core.optimisation_parameters import Optimiser, Schedule
from pipeline.core.parameters import Count, Strict

Activation = Literal["sigmoid", "tanh", "relu", "gelu"]
Initialisation = Literal["normal", "xavier", "he"]
Normalisation = Literal["none", "batch", "layer"]
Width = Annotated[int, Count]


class Shape(Strict):
    """What every network says of itself, whatever its keys."""

    @property
    def shrinks(self) -> int:
        """How many pixels of a side of the image become one inside."""
        return 1


class Perceptron(Shape):
    """One layer (networks/perceptron.py)."""

    name: Literal["perceptron"]
    initialisation: Initialisation


class Mlp(Shape):
    """Shape of a fully connected network (networks/mlp.py). widths: of each hidden layer, first to last;
    residual: layers between equal widths add to what came in."""

    name: Literal["mlp"]
    widths: tuple[Width, ...] = Field(min_length=1)
    activation: Activation
    initialisation: Initialisation
    normalisation: Normalisation
    residual: bool


class Convnet(Shape):
    """Shape of a plain convolutional network (networks/convnet.py). channels: of each convolution, each
    followed by pooling that halves the image; hidden: widths of the fully connected layers behind them."""

    name: Literal["convnet"]
    channels: tuple[Width, ...] = Field(min_length=1)
    kernel: int = Field(ge=1, le=11)
    hidden: tuple[Width, ...]
    activation: Activation
    initialisation: Initialisation
    normalisation: Normalisation

    @property
    def shrinks(self) -> int:
        return int(2 ** len(self.channels))


class Separable(Shape):
    """Shape of a network of depthwise separable convolutions (networks/separable.py). channels, strides:
    of each separable convolution behind the stem."""

    name: Literal["separable"]
    stem_channels: int = Count
    stem_stride: int = Field(ge=1, le=4)
    channels: tuple[Width, ...] = Field(min_length=1)
    strides: tuple[Width, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _same_length(self) -> "Separable":
        if len(self.channels) != len(self.strides):
            raise ValueError("channels and strides need one entry for each separable convolution")
        return self

    @property
    def shrinks(self) -> int:
        return self.stem_stride * math.prod(self.strides)


class ResNet(Shape):
    """Shape of a residual network (networks/resnet.py). pooling: over the image before the last layer; with
    none that layer has a weight for every place."""

    name: Literal["resnet"]
    stem_channels: int = Count
    stem_kernel: int = Field(ge=1, le=11)
    stem_stride: int = Field(ge=1, le=4)
    stem_padding: int = Field(ge=0, le=5)
    channels: tuple[int, ...] = Field(min_length=1)
    blocks: tuple[int, ...] = Field(min_length=1)
    strides: tuple[int, ...] = Field(min_length=1)
    pooling: Literal["average", "none"]

    @model_validator(mode="after")
    def _same_length(self) -> "ResNet":
        if not len(self.channels) == len(self.blocks) == len(self.strides):
            raise ValueError("channels, blocks and strides need one entry for each stage of the network")
        return self

    @property
    def shrinks(self) -> int:
        return self.stem_stride * math.prod(self.strides)


Network = Annotated[Perceptron | Mlp | Convnet | Separable | ResNet, Field(discriminator="name")]


class Affine(Strict):
    """Ranges of the random affine augmentation (learning/augmentation.py)."""

    max_shift: float = Field(ge=0)
    max_rotation: float = Field(ge=0, le=180)
    scale_range: tuple[float, float]
    max_shear: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _ordered(self) -> "Affine":
        low, high = self.scale_range
        if not 0 < low <= high:
            raise ValueError(f"scale_range must be 0 < smallest <= largest, given {low}, {high}")
        return self


class Recipe(Strict):
    """How a network is trained (learning/fitting.py). learning_rate: the highest of the schedule."""

    network: Network
    augmentation: Affine | None
    epochs: int = Count
    batch_size: int = Field(ge=2)
    precision: Literal["auto", "float32", "bfloat16"]
    optimiser: Optimiser
    learning_rate: float = Field(gt=0)
    schedule: Schedule
    weight_decay: float = Field(ge=0)
    label_smoothing: float = Field(ge=0, lt=1)
