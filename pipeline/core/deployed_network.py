"""The deployed network, run offline by ONNX Runtime exactly as the service runs it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import model_package

BATCH = 500  # rows at once


class DeployedNetwork:
    """A verified model package that answers.

    description: its model.json
    """

    def __init__(self, package: Path) -> None:
        import onnxruntime

        self.description: dict[str, Any] = model_package.verify(package)
        self._session = onnxruntime.InferenceSession(
            str(package / model_package.NETWORK), providers=["CPUExecutionProvider"]
        )
        (self._input,) = self._session.get_inputs()

    def run(self, rows: np.ndarray, output: str) -> np.ndarray:
        """The named output for all rows, (N, ...), computed in batches."""
        return self.run_all(rows, (output,))[0]

    def run_all(self, rows: np.ndarray, outputs: Sequence[str]) -> tuple[np.ndarray, ...]:
        """Several outputs of one pass over the rows, (N, ...) each."""
        answers = [
            self._session.run(list(outputs), {self._input.name: np.ascontiguousarray(rows[i : i + BATCH])})
            for i in range(0, len(rows), BATCH)
        ]
        return tuple(np.concatenate(each) for each in zip(*answers, strict=True))
