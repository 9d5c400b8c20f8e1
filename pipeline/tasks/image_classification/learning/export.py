"""The deployed network: one ONNX file from raw pixels to calibrated probabilities."""

from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.tasks.image_classification.parameters import Image
from pipeline.training import onnx_export


class Deployed(nn.Module):
    """pixels uint8 (N, C, H, W) -> logits, probabilities, both float32 (N, K)."""

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network(image)
        return logits, torch.softmax(logits / self.temperature, dim=1)


def to_onnx(network: nn.Module, temperature: float, image: Image, path: Path) -> None:
    """Writes network.onnx with a free batch size, weights inside. The network must be on the CPU."""
    onnx_export.export(
        Deployed(network, temperature).eval(),
        (torch.zeros((2, image.channels, image.height, image.width), dtype=torch.uint8),),
        path,
        inputs=["image"],
        outputs=["logits", "probabilities"],
        dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1)}},
    )
