"""A network as one ONNX file; the same network gives the same file, wherever it was made."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 20


def export(
    network: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic_shapes: dict[str, Any],
) -> None:
    """Writes the network with its weights inside. It must be in its state for answering, and on the CPU.

    example: inputs of two rows at least, since a batch of 1 would be taken for a constant
    dynamic_shapes: name of the input -> dimension -> its name, for those of free length (torch.export)
    """
    program = torch.onnx.export(
        network,
        example,
        input_names=inputs,
        output_names=outputs,
        dynamic_shapes=dynamic_shapes,
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    assert program is not None  # dynamo=True returns the program
    _save_without_paths(program.model_proto, path)


def _save_without_paths(model: "ModelProto", path: Path) -> None:
    """The exporter notes source lines with this machine's paths: the same weights would give another
    file in another folder, and the paths would be shipped."""
    import onnx

    for part in (model.graph, *model.graph.node, *model.graph.value_info):
        del part.metadata_props[:]
    onnx.save(model, path)
