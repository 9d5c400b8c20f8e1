"""The network behind LitServe as its documentation has it.

python -m benchmarks.serving.litserve_api PACKAGE PORT
"""

import sys
from pathlib import Path
from typing import Any

import litserve
import numpy as np

from benchmarks.serving.network import Network


class Api(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.network = Network(Path(sys.argv[1]))

    def decode_request(self, request: dict[str, Any]) -> np.ndarray:
        return np.array(request["pixels"], dtype=np.uint8)

    def predict(self, x: np.ndarray) -> dict[str, Any]:
        return self.network.answers(x[None])[0]

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Api(api_path="/predict"), accelerator="cpu", workers_per_device=1)
    server.run(port=int(sys.argv[2]), num_api_servers=1, generate_client_file=False, log_level="warning")
