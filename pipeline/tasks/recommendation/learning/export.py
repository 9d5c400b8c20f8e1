"""The deployed network: one ONNX file from counts and baskets to scores."""

from pathlib import Path

import torch

from pipeline.tasks.recommendation.data.inputs import GIVEN, Inputs
from pipeline.tasks.recommendation.learning.networks.ranker import Ranker
from pipeline.training import onnx_export


def to_onnx(ranker: Ranker, example: Inputs, path: Path) -> None:
    """Writes network.onnx with a free number of questions and candidates, weights inside.

    example: inputs of at least two questions; the network must be on the CPU
    """
    arguments = tuple(torch.from_numpy(array) for array in example.given(slice(2)))
    questions, candidates = torch.export.Dim("questions", min=1), torch.export.Dim("candidates", min=1)
    same = torch.export.Dim.DYNAMIC  # found to be the same as those named above
    onnx_export.export(
        ranker.with_vectors(),
        arguments,
        path,
        inputs=GIVEN,
        outputs=["scores"],
        dynamic_shapes={
            "products": {0: questions, 1: candidates},
            "features": {0: same, 1: same},
            "sequence": {0: same},
            "ages": {0: same},
            "held": {0: same, 1: same},
        },
    )
