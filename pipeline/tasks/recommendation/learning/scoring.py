"""Scores of a network in PyTorch, without what training needs."""

import numpy as np
import torch

from pipeline.tasks.recommendation.learning.examples import Examples
from pipeline.tasks.recommendation.learning.networks.ranker import Ranker

SCORING_BATCH = 256  # questions


@torch.inference_mode()
def scores(ranker: Ranker, examples: Examples) -> np.ndarray:
    """float32 (B, C), computed where the network lies."""
    ranker.eval()
    device = next(ranker.parameters()).device
    found = []
    for start in range(0, len(examples), SCORING_BATCH):
        batch = examples.inputs.given(slice(start, start + SCORING_BATCH))
        found.append(ranker(*(torch.from_numpy(array).to(device) for array in batch)).cpu())
    return torch.cat(found).numpy()
