"""The golden set of a model package: a few questions to its network, and what the network answers to them.

`train` asks the exported network and keeps both. Whoever loads the package somewhere else asks again: a file
that is not what was tested, another version of ONNX Runtime or a processor that computes otherwise shows
before a client sees it. The items are from the validation part, never from the test part.

golden_set.npz    input.NAME: each input of the network; output.NAME: what came out; N items each
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline.core import model_package
from pipeline.core.errors import ModelError

FILE = "golden_set.npz"
INPUT, OUTPUT = "input.", "output."


class Session(Protocol):
    """What is asked of onnxruntime.InferenceSession."""

    def run(self, output_names: Any, input_feed: Any, /) -> Any: ...


def spread(items: int, wanted: int) -> np.ndarray:
    """int64, rising: the places of `wanted` items spread over all `items`; of all where there are fewer."""
    return np.unique(np.linspace(0, items - 1, min(wanted, items)).astype(int))


def write(folder: Path, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> None:
    """Asks the network that lies in `folder`. inputs: by name, (N, ...) each; outputs: names to keep."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the same sums in the same order, however many cores there are
    network = folder / model_package.NETWORK
    session = onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])
    given = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
    answers = dict(zip(outputs, session.run(list(outputs), given), strict=True))
    arrays = {INPUT + name: array for name, array in given.items()}
    arrays |= {OUTPUT + name: np.asarray(answer) for name, answer in answers.items()}
    np.savez_compressed(folder / FILE, **arrays)  # type: ignore[arg-type]  # the names are not its parameters


def read(package: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs and outputs, by name."""
    with np.load(package / FILE, allow_pickle=False) as arrays:
        given = {name.removeprefix(INPUT): arrays[name] for name in arrays if name.startswith(INPUT)}
        expected = {name.removeprefix(OUTPUT): arrays[name] for name in arrays if name.startswith(OUTPUT)}
    return given, expected


def difference(package: Path, description: Mapping[str, Any], session: Session) -> float | None:
    """The largest difference between what the golden set says and what `session` answers, over
    max(1, what was expected); infinite where either is not a number. None: the package has no golden set.

    package: verified; description: its model.json; session: its network
    ModelError: the network does not run on it, or answers in another shape; or it holds no answers.
    """
    if FILE not in description["files"]:
        return None
    given, expected = read(package)
    if not expected or not all(answers.size for answers in expected.values()):
        raise ModelError(f"{package}: {FILE} holds no answer, so it proves nothing.")
    try:
        found = dict(zip(expected, session.run(list(expected), given), strict=True))
    except Exception as error:  # ONNX Runtime's own exceptions have no common base but Exception
        raise ModelError(f"{package}: the network does not run on its golden set: {error}") from error
    return max(_apart(package, name, found[name], expected[name]) for name in expected)


def _apart(package: Path, name: str, found: np.ndarray, expected: np.ndarray) -> float:
    if found.shape != expected.shape:
        raise ModelError(
            f"{package}: for the golden set {name} has the shape {found.shape}, expected {expected.shape}."
        )
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return float("inf")
    return float((np.abs(found - expected) / np.maximum(1.0, np.abs(expected))).max())
