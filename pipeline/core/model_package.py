"""The model package: the folder that `train` leaves, the registry keeps and the service loads.

network.onnx         the deployed network; uint8 pixels or features in, probabilities out
weights.safetensors  the same weights for going on with training
model.json           what it is: project, task, classes, input, SHA-256 of the other files
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.core.artifacts import read_json, sha256, write_json
from pipeline.core.errors import ModelError

NETWORK = "network.onnx"
WEIGHTS = "weights.safetensors"
DESCRIPTION = "model.json"
FORMAT = 1


def describe(folder: Path, description: Mapping[str, Any]) -> None:
    """Writes model.json into a folder that already holds the other two files."""
    files = {name: sha256(folder / name) for name in (NETWORK, WEIGHTS)}
    write_json(folder / DESCRIPTION, {"format": FORMAT, **description, "files": files})


def verify(folder: Path) -> dict[str, Any]:
    """model.json of a package whose files are what it says; ModelError otherwise."""
    if not (folder / DESCRIPTION).is_file():
        raise ModelError(f"{folder}: no {DESCRIPTION}, so this is not a model package. Run `dvc repro`.")
    description: dict[str, Any] = read_json(folder / DESCRIPTION)
    if description.get("format") != FORMAT:
        raise ModelError(f"{folder}: package format {description.get('format')!r}, expected {FORMAT}.")
    for name, expected in description["files"].items():
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: {name} is missing. Run `dvc repro` to make the model again.")
        found = sha256(folder / name)
        if found != expected:
            raise ModelError(
                f"{folder / name}: SHA-256 is {found}, {DESCRIPTION} says {expected}. The file was "
                "changed or damaged; it is not loaded. Run `dvc repro` to make the model again."
            )
    return description
