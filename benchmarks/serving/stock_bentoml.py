"""The network behind BentoML as its documentation has it: an API method with a NumPy input.

bentoml serve benchmarks.serving.stock_bentoml:Stock        (BENCHMARK_PACKAGE names the package)
"""

import os
from pathlib import Path
from typing import Annotated, Any

import bentoml
import numpy as np
from bentoml.validators import DType, Shape

from benchmarks.serving.network import Network


@bentoml.service(workers=1)
class Stock:
    def __init__(self) -> None:
        self.network = Network(Path(os.environ["BENCHMARK_PACKAGE"]))

    @bentoml.api
    def predict(self, pixels: Annotated[np.ndarray, Shape((28, 28)), DType("uint8")]) -> dict[str, Any]:
        return self.network.answers(pixels[None])[0]
