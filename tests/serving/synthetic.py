"""Small model packages made with onnx.helper: no torch, no training, a fixed answer for each image."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.core import model_package, serve_parameters

DIGITS = tuple("0123456789")
SETTINGS = serve_parameters.read(Path(__file__).parents[2], "digits")  # as shipped
SHOP_SETTINGS = serve_parameters.read(Path(__file__).parents[2], "retail")


def write_package(
    folder: Path,
    *,
    project: str = "digits",
    classes: tuple[str, ...] = DIGITS,
    image: tuple[int, int, int] = (1, 28, 28),
    seed: int = 0,
) -> Path:
    """A package whose network is one random linear layer on pixels. image: (C, H, W)."""
    folder.mkdir(parents=True)
    onnx.save(linear_network(len(classes), image, seed), str(folder / model_package.NETWORK))
    (folder / model_package.WEIGHTS).write_bytes(b"weights stand here")
    channels, height, width = image
    description = {
        "project": project,
        "task": "image_classification",
        "classes": list(classes),
        "image": {"height": height, "width": width, "channels": channels},
        "temperature": 1.0,
        "parameter_count": channels * height * width * len(classes),
    }
    model_package.describe(folder, description)
    return folder


def linear_network(classes: int, image: tuple[int, int, int], seed: int) -> onnx.ModelProto:
    """uint8 (N, C, H, W) `image` -> float32 (N, K) `logits` and `probabilities`."""
    size = int(np.prod(image))
    weights = np.random.default_rng(seed).normal(0, 8 / size**0.5, (size, classes)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "scale"], ["scaled"]),
        helper.make_node("Flatten", ["scaled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", classes])
        for name in ("logits", "probabilities")
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", *image])],
        outputs,
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([255], dtype=np.float32), "scale"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
