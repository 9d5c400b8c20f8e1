"""Batches from arrays in memory: no worker processes, no work for each image.

Whole batches are gathered with one indexing call an array. On a GPU the arrays live there, if they fit.
The order of epoch e depends on the seed and e alone, so that training can go on at any batch of any epoch.
Several processes share out each batch: together they take the steps that one alone would take.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from pipeline.core.errors import ParameterError

GPU_RESIDENT_BYTES = 8 << 30  # data sets up to this size live on the GPU while training


class EpochOrder:
    """Stands where a loader has its sampler: Lightning tells it the epoch."""

    def __init__(self) -> None:
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


class Batches:
    """An iterable of tuples of tensors: the same rows of each of `tensors` (N, ...).

    shuffle: a new order each epoch, and an incomplete last batch is left out (batch normalisation
    needs more than one row); without it, the given order and every row.
    rank, processes: of each batch the slice of process `rank` in [0, processes); of equal size when
    shuffled, so that the mean of the processes' gradients is the gradient of the whole batch
    """

    batch_sampler = None  # Lightning looks for it beside `sampler`

    def __init__(
        self,
        tensors: Sequence[Tensor],
        batch_size: int,
        *,
        seed: int,
        shuffle: bool,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.tensors, self.rows = tuple(tensors), len(tensors[0])
        if self.rows < processes or (shuffle and batch_size % processes):
            raise ParameterError(
                f"params.yaml: train.hardware: {processes} processes cannot share out {self.rows:,} rows in "
                f"batches of {batch_size}. Take a batch_size that is a multiple of {processes}, or fewer "
                "devices."
            )
        whole = self.rows - self.rows % processes if shuffle else self.rows
        self.batch_size = min(batch_size, whole)
        self.seed, self.shuffle = seed, shuffle
        self.rank, self.processes = rank, processes
        self.sampler = EpochOrder()
        self.given = 0  # batches of the present epoch
        self.skipped = 0  # batches that the next iteration leaves out: an interrupted training had them

    def __len__(self) -> int:
        whole, rest = divmod(self.rows, self.batch_size)
        return whole + (rest >= self.processes and not self.shuffle)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        order, size = self._order(), self.batch_size
        self.given, self.skipped = self.skipped, 0
        for place in range(self.given, len(self)):
            # Too few rows for each process are no batch of their own.
            whole = not self.shuffle and place == len(self) - 1
            of_all = order[place * size : self.rows if whole else (place + 1) * size]
            index = of_all.tensor_split(self.processes)[self.rank]
            self.given += 1
            yield tuple(tensor[index] for tensor in self.tensors)

    def state_dict(self) -> dict[str, int]:
        """Where in the epoch it stands; the beginning, when all of it was given."""
        return {"given": self.given % len(self)}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self.skipped = state["given"]

    def _order(self) -> Tensor:
        device = self.tensors[0].device
        if not self.shuffle:
            return torch.arange(self.rows, device=device)
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, self.sampler.epoch))
        return torch.randperm(self.rows, generator=generator).to(device)


def on_device(arrays: Sequence[np.ndarray], device: torch.device) -> list[Tensor]:
    """The arrays as tensors; on the GPU when there is one and they fit. On the CPU nothing is copied
    that can be written to."""
    home = device if sum(array.nbytes for array in arrays) <= GPU_RESIDENT_BYTES else torch.device("cpu")
    tensors = [torch.from_numpy(array) if array.flags.writeable else torch.tensor(array) for array in arrays]
    return [tensor.to(home) for tensor in tensors]


def epoch_seed(seed: int, epoch: int) -> int:
    """Seeds of different epochs, and of neighbouring seeds, that do not meet."""
    return (seed * 1_000_003 + epoch) % 2**31
