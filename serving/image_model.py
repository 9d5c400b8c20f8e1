"""A model package, checked and ready to answer, run by ONNX Runtime."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from pipeline.core import model_package, onnx_file
from pipeline.core.errors import ModelError

CGROUP_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")
RUN_BATCH = 64  # images run at once; keeps memory flat for long batches


@dataclass(frozen=True, eq=False)
class ImageModel:
    """name, version: as in the registry; sha256: of the network; image: (channels, height, width)."""

    name: str
    version: str
    sha256: str
    classes: tuple[str, ...]
    image: tuple[int, int, int]
    session: onnxruntime.InferenceSession

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """float32 (N, K), rows sum to 1; images: uint8 (N, C, H, W)."""
        if len(images) <= RUN_BATCH:
            return np.asarray(self.session.run(["probabilities"], {"image": images})[0])
        parts = (images[i : i + RUN_BATCH] for i in range(0, len(images), RUN_BATCH))
        return np.concatenate([self.probabilities(part) for part in parts])

    def successor(self, package: Path, version: str, sha256: str) -> "ImageModel":
        """Another version of this model, to answer in its place; arguments and errors as of `load`.

        ModelError also where clients would have to ask otherwise, or would be answered other classes.
        """
        new = load(package, version, sha256)
        for what in ("name", "image", "classes"):
            mine, its = getattr(self, what), getattr(new, what)
            if mine != its:
                raise ModelError(
                    f"{what} is {its}, where clients of this service know {mine}. `dvc repro` deploys it "
                    "as a service of its own; start that one."
                )
        return new


def load(folder: Path, version: str, expected_sha256: str | None = None) -> ImageModel:
    """The model of a package, after every file has met its SHA-256 and a trial run made sense.

    expected_sha256: of the network, from the registry. ModelError says what is wrong.
    """
    description = model_package.verify(folder, expected_sha256)
    onnx_file.refuse_unsound(folder / model_package.NETWORK)
    try:
        image = description["image"]
        model = ImageModel(
            name=description["project"],
            version=version,
            sha256=description["files"][model_package.NETWORK],
            classes=_class_names(description["classes"]),
            image=(image["channels"], image["height"], image["width"]),
            session=_session(folder / model_package.NETWORK),
        )
    except (KeyError, TypeError) as error:
        raise ModelError(f"{folder / model_package.DESCRIPTION}: {error} is missing or malformed.") from error
    _try_out(model, folder)
    return model


def _class_names(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(name, str) and name for name in given):
        raise TypeError("classes, a list of names,")
    return tuple(given)


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # Several requests run beside each other on the cores. Threads that share the work of a single run
    # wait for each other more than they gain on pictures of this size.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions have no common base but Exception
        raise ModelError(f"{path}: ONNX Runtime cannot load it: {error}") from error


def _try_out(model: ImageModel, folder: Path) -> None:
    try:
        images = np.zeros((2, *model.image), dtype=np.uint8)
        images[1].flat = np.arange(images[1].size)  # every weight gets something to work on
        found: Any = model.probabilities(images)
    except Exception as error:  # as above
        raise ModelError(
            f"{folder}: the network does not run on an image of {model.image}: {error}"
        ) from error
    shape = (2, len(model.classes))
    if found.shape != shape or not np.isfinite(found).all():
        raise ModelError(
            f"{folder}: for two plain images the network gives probabilities of shape {found.shape}, "
            f"expected {shape} finite values. Its classes are {list(model.classes)}."
        )


def cores() -> int:
    """Cores that this process may use, also in a container with a quota."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = CGROUP_CPU_LIMIT.read_text().split()
        return max(1, min(usable, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file, or "max"
        return usable
