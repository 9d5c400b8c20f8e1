"""The model package: the folder that `train` leaves, the registry keeps and the service loads.

network.onnx         the deployed network; raw input or features in, the answer out
weights.safetensors  the same weights for going on with training
model.json           what it is: project, task, what the task says of it, SHA-256 of the package's other files
and the files that a task adds, for instance what it has counted from the training data. Pictures and
tables that lie in the folder without being named in model.json are for the reader, not part of the package.

A package may come from anywhere: its names stay inside it, nothing in it is a link, and nothing is a pickle,
which runs what is in it when it is loaded.
"""

import json
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

from pipeline.core.artifacts import sha256, write_json
from pipeline.core.errors import ModelError

NETWORK = "network.onnx"
WEIGHTS = "weights.safetensors"
DESCRIPTION = "model.json"
REQUIRED = (NETWORK, WEIGHTS)
MLFLOW_NETWORK = "model.onnx"  # what MLflow's ONNX flavour calls network.onnx
FORMAT = 1
SHA256 = re.compile(r"[0-9a-f]{64}")
PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib", ".dill", ".cloudpickle"}


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
    description = read_description(folder)
    found = description["files"][NETWORK]
    if network_sha256 and found != network_sha256:
        raise ModelError(
            f"{folder / NETWORK}: SHA-256 is {found}, the registry says {network_sha256}. It is not loaded. "
            "Run `dvc repro` to deploy the registered model again."
        )
    for path in sorted(folder.rglob("*")):
        _refuse_planted(path)
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


def read_description(folder: Path) -> dict[str, Any]:
    """model.json of a package whose files were not looked at yet; `files` names none outside of the package.

    ModelError: it is missing or malformed
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise ModelError(f"{folder}: no {DESCRIPTION}, so this is not a model package. Run `dvc repro`.")
    try:
        description = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not valid JSON: {error}. Run `dvc repro`.") from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        met = description.get("format") if isinstance(description, dict) else description
        raise ModelError(f"{folder}: package format {met!r}, expected {FORMAT}.")
    files = description.get("files")
    if not isinstance(files, dict) or not set(REQUIRED) <= set(files):
        raise ModelError(f"{path}: files must name {' and '.join(REQUIRED)} with their SHA-256.")
    for name, checksum in files.items():
        parts = PurePosixPath(name).parts
        stays = {"..", "/"}.isdisjoint(parts) and {"\\", "\0"}.isdisjoint(name)
        if not parts or name != "/".join(parts) or not stays:
            raise ModelError(f"{path}: files: {name!r} is not a path inside the package. It is not loaded.")
        if not isinstance(checksum, str) or not SHA256.fullmatch(checksum):
            raise ModelError(f"{path}: files: the SHA-256 of {name!r} is {checksum!r}, not 64 hex digits.")
    return description


def _refuse_planted(path: Path) -> None:
    if path.is_symlink():
        raise ModelError(f"{path}: a link, and a package holds files alone. It is not loaded; copy the file.")
    if path.is_file() and _is_pickle(path):
        raise ModelError(
            f"{path}: a pickle, which can run any code when it is loaded. It is not loaded, nor the package "
            "that it is in. Weights belong into safetensors, arrays into numpy's format without objects."
        )


def _is_pickle(path: Path) -> bool:
    """Whether some library would unpickle it: also PyTorch's zip files and numpy's arrays of objects."""
    with path.open("rb") as file:
        start = file.read(8)
        file.seek(0)
        if path.suffix.lower() in PICKLES or (start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5"):
            return True
        if start.startswith(b"\x93NUMPY"):
            return _holds_objects(file)
    return zipfile.is_zipfile(path) and _holds_pickle(path)


def _holds_pickle(path: Path) -> bool:
    """Whether a zip file does, or cannot be read; nothing but the names and the arrays' headers is."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if PurePosixPath(name).suffix.lower() in PICKLES:
                    return True
                if name.endswith(".npy"):
                    with archive.open(name) as member:
                        if _holds_objects(member):
                            return True
    except (zipfile.BadZipFile, zlib.error, RuntimeError, OSError):  # RuntimeError: it is encrypted
        return True
    return False


def _holds_objects(file: IO[bytes]) -> bool:
    """Whether an array in numpy's format holds Python objects, or cannot be read; its header is looked at."""
    from numpy.lib import format as npy

    try:
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(file)]
        return bool(read(file)[2].hasobject)
    except (ValueError, KeyError):
        return True


def not_numbers(folder: Path) -> int:
    """How many weights of the deployed network are NaN. Infinity is not counted: it masks in attention."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    weights = (numpy_helper.to_array(tensor) for tensor in onnx.load(folder / NETWORK).graph.initializer)
    return sum(int(np.isnan(each).sum()) for each in weights if np.issubdtype(each.dtype, np.floating))
