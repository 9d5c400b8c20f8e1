"""The area under the margin of each training image, gathered from the forward passes of training itself.

A network learns an image with a wrong label late and against the images that resemble it: its margin stays
low while it trains (Pleiss et al. 2020, arXiv:2001.10528). No pass is made for this; the logits are there.
"""

from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor


class MarginSums(lightning.Callback):
    """Sums over the epochs of one fit.

    sums: float32 (N,), of the margins of each training image; counts: float32 (N,), how many they are.
    An epoch leaves out the images of its incomplete last batch, so that counts differ.
    """

    def __init__(self, images: int) -> None:
        self.sums, self.counts = torch.zeros(images), torch.zeros(images)

    def on_train_start(self, _: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.sums, self.counts = self.sums.to(module.device), self.counts.to(module.device)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: Any,
        batch: tuple[Tensor, Tensor, Tensor],
        batch_idx: int,
    ) -> None:
        _, labels, rows = batch
        self.sums[rows] += margins(outputs["logits"], labels)
        self.counts[rows] += 1

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """sums and counts, float32 (N,)"""
        return self.sums.cpu().numpy(), self.counts.cpu().numpy()


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Logit of the given label minus the largest other one, float32 (B,) (equation 1 of the paper).

    logits: float (B, K); labels: int64 (B,)
    """
    logits, given = logits.float(), labels[:, None]
    others = logits.scatter(1, given, -torch.inf)
    return logits.gather(1, given)[:, 0] - others.amax(1)
