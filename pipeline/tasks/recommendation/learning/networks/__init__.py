"""The networks by name: how each reads the sequence of baskets; one readable file each.

A file has `encoder(params) -> nn.Module`: baskets float32 (B, L, D) and which are there bool (B, L) to
float32 (B, L, D). The rest of the network is ranker.py.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core import model_package
from pipeline.core.errors import ModelError
from pipeline.tasks.recommendation.data.dataset import Catalogue
from pipeline.tasks.recommendation.recipe_parameters import Network

if TYPE_CHECKING:
    import numpy as np

    from pipeline.tasks.recommendation.learning.examples import Examples
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


def read(package: Path, catalogue: Catalogue) -> "Ranker":
    """The trained network of a model package in PyTorch, ready to answer."""
    import numpy as np
    from safetensors.torch import load_file

    from pipeline.tasks.recommendation.data.network import KNOWN_PRODUCTS

    description = model_package.verify(package)
    params = Network.model_validate(description["network"])
    weights = load_file(package / model_package.WEIGHTS)
    if not np.array_equal(np.load(package / KNOWN_PRODUCTS), catalogue.product_ids):
        raise ModelError(f"{package}: was trained with another catalogue. Run `dvc repro` to train it again.")
    # The statistics are among the weights; these stand in until they are loaded.
    blank = np.zeros(len(description["features"]), dtype=np.float32)
    ranker = build(params, weights["codes"].numpy()[:-1], blank, blank, description["retrieval"]["baskets"])
    ranker.load_state_dict(weights)
    return ranker.eval()


def load(package: Path, catalogue: Catalogue) -> "Callable[[Examples], np.ndarray]":
    """The same as a function: examples to scores float32 (B, C)."""
    from pipeline.tasks.recommendation.learning.scoring import scores

    ranker = read(package, catalogue)
    return lambda examples: scores(ranker, examples)
