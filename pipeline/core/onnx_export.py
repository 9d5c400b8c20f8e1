"""Saving an exported graph so that the same network gives the same file, wherever it was made."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto


def save_without_paths(model: "ModelProto", path: Path) -> None:
    """The exporter notes source lines with this machine's paths: the same weights would give another
    file in another folder, and the paths would be shipped."""
    import onnx

    for part in (model.graph, *model.graph.node, *model.graph.value_info):
        del part.metadata_props[:]
    onnx.save(model, path)
