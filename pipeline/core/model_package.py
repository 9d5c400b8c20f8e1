"""The model package: the folder that `train` leaves, the registry keeps and the service loads.

network.onnx         the deployed network; raw input or features in, the answer out
weights.safetensors  the same weights for going on with training
model.json           what it is: project, task, what the task says of it, SHA-256 of the package's other files
and the files that a task adds, for instance what it has counted from the training data. Pictures and
tables that lie in the folder without being named in model.json are for the reader, not part of the package.
"""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.core.artifacts import read_json, sha256, write_json
from pipeline.core.errors import ModelError

NETWORK = "network.onnx"
WEIGHTS = "weights.safetensors"
DESCRIPTION = "model.json"
REQUIRED = (NETWORK, WEIGHTS)
MLFLOW_NETWORK = "model.onnx"  # what MLflow's ONNX flavour calls network.onnx
FORMAT = 1


def describe(folder: Path, description: Mapping[str, Any], more: Iterable[str] = ()) -> None:
    """Writes model.json into a folder that already holds the other files.

    more: what belongs to the package beside network and weights, as paths relative to the folder
    """
    files = {name: sha256(folder / name) for name in (*REQUIRED, *sorted(more))}
    write_json(folder / DESCRIPTION, {"format": FORMAT, **description, "files": files})


def copy(source: Path, target: Path) -> Path:
    """A verified package's files, and no others, copied into the folder `target`."""
    for name in (*verify(source)["files"], DESCRIPTION):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
    return target


def verify(folder: Path, network_sha256: str | None = None) -> dict[str, Any]:
    """model.json of a package whose files are what it says; ModelError otherwise.

    network_sha256: what the network's must be, for instance as registered
    """
    if not (folder / DESCRIPTION).is_file():
        raise ModelError(f"{folder}: no {DESCRIPTION}, so this is not a model package. Run `dvc repro`.")
    description: dict[str, Any] = read_json(folder / DESCRIPTION)
    if description.get("format") != FORMAT:
        raise ModelError(f"{folder}: package format {description.get('format')!r}, expected {FORMAT}.")
    found = description["files"].get(NETWORK)
    if network_sha256 and found != network_sha256:
        raise ModelError(
            f"{folder / NETWORK}: SHA-256 is {found}, the registry says {network_sha256}. It is not loaded. "
            "Run `dvc repro` to deploy the registered model again."
        )
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


def not_numbers(folder: Path) -> int:
    """How many weights of the deployed network are NaN. Infinity is not counted: it masks in attention."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    weights = (numpy_helper.to_array(tensor) for tensor in onnx.load(folder / NETWORK).graph.initializer)
    return sum(int(np.isnan(each).sum()) for each in weights if np.issubdtype(each.dtype, np.floating))
