"""The input of a network: raw pixels, normalised inside, so that training and serving cannot differ."""

import torch
from torch import Tensor, nn


class RawPixels(nn.Module):
    """pixels: uint8, or float in 0..255, (N, C, H, W) -> float32 (N, C, H, W), each channel with mean 0 and
    standard deviation 1 over the training pixels.

    mean, std: of each channel of the training pixels, in [0, 1]; kept as buffers, among the weights
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        spread, centre = torch.tensor(std).view(1, -1, 1, 1), torch.tensor(mean).view(1, -1, 1, 1)
        self.register_buffer("scale", 1 / (255 * spread))
        self.register_buffer("offset", -centre / spread)

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels.to(self.scale.dtype) * self.scale + self.offset
