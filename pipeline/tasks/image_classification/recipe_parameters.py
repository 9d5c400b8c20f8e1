"""How a classifier is trained: the recipe of `train`, of the label audit and of the pilots of `forecast`."""

from typing import Literal

from pydantic import Field, model_validator

from pipeline.core.parameters import Count, Strict


class ResNet(Strict):
    """Shape of a residual network (networks/resnet.py)."""

    name: Literal["resnet"]
    stem_channels: int = Count
    stem_kernel: int = Field(ge=1, le=11)
    stem_stride: int = Field(ge=1, le=4)
    stem_padding: int = Field(ge=0, le=5)
    channels: tuple[int, ...] = Field(min_length=1)
    blocks: tuple[int, ...] = Field(min_length=1)
    strides: tuple[int, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _same_length(self) -> "ResNet":
        if not len(self.channels) == len(self.blocks) == len(self.strides):
            raise ValueError("channels, blocks and strides need one entry for each stage of the network")
        return self


class Affine(Strict):
    """Ranges of the random affine augmentation (augmentation.py)."""

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
    """How a network is trained (fitting.py)."""

    network: ResNet
    augmentation: Affine | None
    epochs: int = Count
    batch_size: int = Field(ge=2)
    precision: Literal["auto", "float32", "bfloat16"]
    learning_rate: float = Field(gt=0)
    warmup_share: float = Field(gt=0, lt=1)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    label_smoothing: float = Field(ge=0, lt=1)
