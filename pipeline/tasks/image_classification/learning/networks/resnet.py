"""A small residual convolutional network.

Residual blocks with batch normalisation after He et al. 2015, "Deep Residual Learning for Image
Recognition" (arXiv:1512.03385); He initialisation after He et al. 2015, "Delving Deep into
Rectifiers" (arXiv:1502.01852); downsampling shortcut after He et al. 2019, "Bag of Tricks"
(arXiv:1812.01187, ResNet-D); batch normalisation after Ioffe and Szegedy 2015 (arXiv:1502.03167).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.tasks.image_classification.parameters import Image
from pipeline.tasks.image_classification.recipe_parameters import ResNet as Params


def build(params: Params, image: Image, classes: int, mean: list[float], std: list[float]) -> "ResNet":
    return ResNet(params, image, classes, mean, std)


class ResNet(nn.Module):
    """Strided stem, stages of residual blocks, global average pooling if wanted, linear.

    pixels: uint8, or float in 0..255, (N, C, H, W) -> logits float32 (N, classes)
    mean, std: of each channel of the training pixels, in [0, 1]; buffers, so that the exported graph
    takes raw pixels
    """

    scale: Tensor
    offset: Tensor

    def __init__(
        self, params: Params, image: Image, classes: int, mean: list[float], std: list[float]
    ) -> None:
        super().__init__()
        spread, centre = torch.tensor(std).view(1, -1, 1, 1), torch.tensor(mean).view(1, -1, 1, 1)
        self.register_buffer("scale", 1 / (255 * spread))
        self.register_buffer("offset", -centre / spread)
        width, kernel = params.stem_channels, params.stem_kernel
        self.stem = nn.Sequential(
            nn.Conv2d(image.channels, width, kernel, params.stem_stride, params.stem_padding, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        stages: list[nn.Module] = []
        for out, blocks, stride in zip(params.channels, params.blocks, params.strides, strict=True):
            for block in range(blocks):
                stages.append(ResidualBlock(width, out, stride if block == 0 else 1))
                width = out
        self.stages = nn.Sequential(*stages)
        self.pooling = nn.AdaptiveAvgPool2d(1) if params.pooling == "average" else nn.Identity()
        self.head = nn.Linear(self._features(image), classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, pixels: Tensor) -> Tensor:
        x = pixels.to(self.scale.dtype) * self.scale + self.offset
        logits: Tensor = self.head(self.pooling(self.stages(self.stem(x))).flatten(1))
        return logits

    @torch.no_grad()
    def _features(self, image: Image) -> int:
        """How many numbers the last layer sees of an image."""
        self.eval()  # so that the blank image leaves no trace in the normalisation
        blank = torch.zeros(1, image.channels, image.height, image.width)
        seen = self.pooling(self.stages(self.stem(blank)))
        self.train()
        return seen.numel()


class ResidualBlock(nn.Module):
    """relu(shortcut(x) + bn(conv(relu(bn(conv(x)))))): the network learns what to add to x.

    float32 (N, inward, H, W) -> (N, outward, ceil(H / stride), ceil(W / stride))
    """

    def __init__(self, inward: int, outward: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inward, outward, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outward)
        self.conv2 = nn.Conv2d(outward, outward, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outward)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inward != outward:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False),
                nn.Conv2d(inward, outward, 1, bias=False),
                nn.BatchNorm2d(outward),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x), inplace=True)
