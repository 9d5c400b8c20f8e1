"""Batches from arrays in memory: no worker processes, no work for each image.

Whole batches are gathered with one indexing call. On a GPU the arrays live there, if they fit.
The order of epoch e depends on the seed and e alone, so that training can go on at any epoch.
"""

from collections.abc import Iterator

import torch
from torch import Tensor


class EpochOrder:
    """Stands where a loader has its sampler: Lightning tells it the epoch."""

    def __init__(self) -> None:
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


class Batches:
    """An iterable of (pixels uint8 (B, C, H, W), labels int64 (B,)).

    shuffle: a new order each epoch, and an incomplete last batch is left out (batch normalisation
    needs more than one image); without it, the given order and every image.
    """

    batch_sampler = None  # Lightning looks for it beside `sampler`

    def __init__(self, pixels: Tensor, labels: Tensor, batch_size: int, *, seed: int, shuffle: bool) -> None:
        self.pixels, self.labels = pixels, labels
        self.batch_size = min(batch_size, len(labels))
        self.seed, self.shuffle = seed, shuffle
        self.sampler = EpochOrder()

    def __len__(self) -> int:
        whole, rest = divmod(len(self.labels), self.batch_size)
        return whole + (rest > 0 and not self.shuffle)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for index in self._order().split(self.batch_size)[: len(self)]:
            yield self.pixels[index], self.labels[index]

    def _order(self) -> Tensor:
        device = self.labels.device
        if not self.shuffle:
            return torch.arange(len(self.labels), device=device)
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, self.sampler.epoch))
        return torch.randperm(len(self.labels), generator=generator).to(device)


def epoch_seed(seed: int, epoch: int) -> int:
    """Seeds of different epochs, and of neighbouring seeds, that do not meet."""
    return (seed * 1_000_003 + epoch) % 2**31
