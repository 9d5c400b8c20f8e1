"""How large the gradient of each layer is: too small and the layer does not learn, too large and it diverges.

Bengio, Simard and Frasconi 1994 and Hochreiter 1991 showed why gradients vanish over many layers; Glorot and
Bengio 2010 measured them layer by layer, as is done here.
"""

import copy

import lightning
from torch import Tensor, nn
from torch.nn import functional as F


def layer_norms(network: nn.Module, pixels: Tensor, labels: Tensor) -> list[float]:
    """Euclidean norm of the loss's gradient by the weights of each layer, from the input to the output.

    pixels: uint8 (B, C, H, W); labels: int64 (B,). The network is left as it is.
    """
    trial = copy.deepcopy(network).train()
    trial.zero_grad()
    F.cross_entropy(trial(pixels), labels).backward()
    layers = [
        p for p in trial.parameters() if p.ndim > 1
    ]  # biases and normalisation are not counted as layers
    return [float(p.grad.norm()) if p.grad is not None else 0.0 for p in layers]


class GradientNorms(lightning.Callback):
    """found: `layer_norms` on the same images before the training, and after each of its epochs."""

    def __init__(self, pixels: Tensor, labels: Tensor) -> None:
        self.pixels, self.labels = pixels, labels
        self.found: list[list[float]] = []

    def on_train_start(self, _: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._measure(module)

    def on_train_epoch_end(self, _: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._measure(module)

    def _measure(self, module: lightning.LightningModule) -> None:
        here = module.device
        network: nn.Module = module.get_submodule("network")
        self.found.append(layer_norms(network, self.pixels.to(here), self.labels.to(here)))
