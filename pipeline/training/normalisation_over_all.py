"""Batch normalisation over the rows of all processes, so that several train as one does.

Each process holds a slice of the batch (batches.py); with the mean and variance of its slice alone
it would train another network than one process does. torch's SyncBatchNorm works on GPUs only.
"""

from functools import partial

import torch
from lightning.pytorch.plugins.layer_sync import TorchSyncBatchNorm
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm


class NormalisationOverAll(TorchSyncBatchNorm):
    """Lightning applies it before a training in several processes and reverts it afterwards."""

    def apply(self, model: nn.Module) -> nn.Module:
        if model.trainer.strategy.root_device.type != "cpu":  # type: ignore[union-attr]
            return super().apply(model)
        for layer in _layers(model):
            layer.forward = partial(_normalise, layer)  # type: ignore[method-assign]
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        for layer in _layers(model):
            layer.__dict__.pop("forward", None)
        return super().revert(model)


def _layers(model: nn.Module) -> list[_BatchNorm]:
    return [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]


def _normalise(layer: _BatchNorm, x: Tensor) -> Tensor:
    """The layer's forward pass (Ioffe and Szegedy 2015, arXiv:1502.03167), x: (N, C, ...) of this process.

    Every process has as many rows as the others, so that the mean of their means is the mean of all. Two
    exchanges instead of one of sums and squares: in float32 their difference would lose digits.
    """
    if not layer.training:
        return type(layer).forward(layer, x)
    processes = torch.distributed.get_world_size()
    over, shape = [0, *range(2, x.ndim)], [1, -1, *[1] * (x.ndim - 2)]
    wide = x.float()
    mean = all_reduce(wide.mean(over)) / processes
    centred = wide - mean.view(shape)
    variance = all_reduce(centred.square().mean(over)) / processes
    if layer.running_mean is not None and layer.running_var is not None:
        rows = x.numel() // x.shape[1] * processes
        with torch.no_grad():
            assert layer.num_batches_tracked is not None  # there with the other two
            layer.num_batches_tracked.add_(1)
            momentum = layer.momentum if layer.momentum is not None else 1 / int(layer.num_batches_tracked)
            layer.running_mean.lerp_(mean, momentum)
            layer.running_var.lerp_(variance * (rows / (rows - 1)), momentum)
    y = centred * (variance + layer.eps).rsqrt().view(shape)
    if layer.affine:
        y = y * layer.weight.view(shape) + layer.bias.view(shape)
    return y.to(x.dtype)
