"""The networks by name: how each reads the sequence of baskets; one readable file each.

A file has `encoder(params) -> nn.Module`: baskets float32 (B, L, D) and which are there bool (B, L) to
float32 (B, L, D). The rest of the network is ranker.py.
"""

import importlib
from typing import TYPE_CHECKING

from pipeline.tasks.recommendation.parameters import Network

if TYPE_CHECKING:
    import numpy as np

    from pipeline.tasks.recommendation.learning.networks.ranker import Ranker


def build(
    params: Network, codes: "np.ndarray", mean: "np.ndarray", std: "np.ndarray", baskets: int
) -> "Ranker":
    """A fresh network; its weights come from torch's global generator.

    codes: int32 (P, 5) of the products that it is to know; mean, std: float32 (F,) of the training
    features; baskets: L, the length of the sequence
    """
    from pipeline.tasks.recommendation.learning.networks.ranker import Ranker

    name = f"pipeline.tasks.recommendation.learning.networks.{params.sequence.name}"
    encoder = importlib.import_module(name).encoder(params.sequence, params.width)
    return Ranker(params, encoder, codes, mean, std, baskets)
