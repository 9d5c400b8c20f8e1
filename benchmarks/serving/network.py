"""The network as each of the other services of benchmarks/serve.py runs it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


class Network:
    """package: as `train` leaves it; threads: of ONNX Runtime for one call."""

    def __init__(self, package: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(
            str(package / "network.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.classes: list[str] = json.loads((package / "model.json").read_text())["classes"]

    def answers(self, pixels: np.ndarray) -> list[dict[str, Any]]:
        """pixels: uint8 (N, H, W)."""
        (rows,) = self.session.run(["probabilities"], {"image": pixels[:, None]})
        return [
            {
                "label": self.classes[row.argmax()],
                "probabilities": dict(zip(self.classes, row.tolist(), strict=True)),
            }
            for row in rows
        ]
