"""What each pixel speaks for, by two methods of Captum.

Integrated gradients (Sundararajan, Taly and Yan 2017, arXiv:1703.01365): the gradient of a class's logit,
summed along the straight path from a blank image to the image. Blank is the image's median colour
(data/intruders.py): pixels of that colour are not changed on the path and get nothing.
Occlusion (Zeiler and Fergus 2014, arXiv:1311.2901): how far the logit falls when a square is painted in that
colour.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from pipeline.tasks.image_classification.data.intruders import blank

if TYPE_CHECKING:
    from torch import Tensor, nn

VALUES = 2**18  # pixel values that go through the network at once, with gradients
WINDOWS = 4  # occluding squares side by side, each a quarter of the image; they move by half of their side
AT_ONCE = 8  # squares tried in one pass through the network


def integrated_gradients(
    network: "nn.Module", pixels: np.ndarray, targets: np.ndarray, steps: int
) -> tuple[np.ndarray, float]:
    """What each pixel adds to the logit of the target, float32 (N, H, W), summed over the channels; and the
    share of the logits' rise over the blank images that the attributions leave unexplained.

    pixels: uint8 (N, C, H, W); targets: int (N,), classes; steps: of the sum that stands for the integral
    """
    import torch
    from captum.attr import IntegratedGradients

    method = IntegratedGradients(network)
    found, missing, rise = [], 0.0, 0.0
    at_once = max(1, VALUES // (steps * pixels[0].size))
    for image, ground, target in _parts(pixels, targets, at_once):
        attribution, delta = method.attribute(
            image,
            ground,
            target,
            n_steps=steps,
            internal_batch_size=max(len(image), VALUES // pixels[0].size),
            return_convergence_delta=True,
        )
        with torch.no_grad():
            difference = network(image) - network(ground)
        found.append(attribution.sum(1).detach().numpy())
        missing += float(delta.abs().sum())
        rise += float(difference.gather(1, target[:, None]).abs().sum())
    return np.concatenate(found), missing / rise if rise else 0.0


def occlusion(network: "nn.Module", pixels: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """How far the logit of the target falls when a pixel is hidden, mean over the squares that hide it,
    float32 (N, H, W)."""
    import torch
    from captum.attr import Occlusion

    method = Occlusion(network)
    _, channels, height, width = pixels.shape
    square = (channels, -(-height // WINDOWS), -(-width // WINDOWS))
    strides = (channels, -(-square[1] // 2), -(-square[2] // 2))
    found = []
    with torch.no_grad():
        for image, ground, target in _parts(pixels, targets, max(1, VALUES // pixels[0].size // AT_ONCE)):
            attribution = method.attribute(
                image, square, strides, baselines=ground, target=target, perturbations_per_eval=AT_ONCE
            )
            found.append(attribution.mean(1).numpy())
    return np.concatenate(found)


def _parts(
    pixels: np.ndarray, targets: np.ndarray, at_once: int
) -> Iterator[tuple["Tensor", "Tensor", "Tensor"]]:
    """Images and their blank images, float32 (n, C, H, W), and targets int64 (n,), a part at a time."""
    import torch

    nobody = np.random.default_rng(0)  # blank images are not drawn
    for start in range(0, len(pixels), at_once):
        some = pixels[start : start + at_once]
        image, ground = (torch.from_numpy(np.array(p, np.float32)) for p in (some, blank(some, nobody)))
        yield image, ground, torch.from_numpy(targets[start : start + at_once].astype(np.int64))
