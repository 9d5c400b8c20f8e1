"""A recommender's model package made in a moment: a linear network on a few features, by onnx.helper.

It is real in all but its training: the state, the features and the way to the answer are those of a
trained one.
"""

from datetime import datetime
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.core import model_package
from pipeline.tasks.recommendation.data import inputs, state
from pipeline.tasks.recommendation.data.asking import Answer, Ask, Id
from pipeline.tasks.recommendation.data.counts import Questions
from pipeline.tasks.recommendation.data.dataset import read_catalogue, read_split
from pipeline.tasks.recommendation.data.network import KNOWN_PRODUCTS
from pipeline.tasks.recommendation.data.recommender import Recommender
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.state import CATALOGUE, SPLITS, State
from tests.synthetic_shop import ZONE

RETRIEVAL = Retrieval(
    repeats=40,
    similar=20,
    affine=10,
    popular=10,
    together=10,
    similarity_items=200,
    ridge=20.0,
    neighbours=20,
    neighbour_pool=100,
    baskets=8,
    basket_products=8,
)
WEIGHTS = {"tifu": 1.0, "decayed_2": 0.5, "popularity_1": 0.2, "similarity": 0.3, "basket_lift": 1.0}


def write(folder: Path, prepared: Path, *, clock: str = "data", project: str = "shop") -> Path:
    """A package as `train` leaves it."""
    folder.mkdir(parents=True)
    catalogue = read_catalogue(prepared / "train" / CATALOGUE)
    names = feature_names(prepared)
    onnx.save(linear_network(names), str(folder / model_package.NETWORK))
    (folder / model_package.WEIGHTS).write_bytes(b"weights stand here")
    np.save(folder / KNOWN_PRODUCTS, catalogue.product_ids)
    description = {
        "project": project,
        "task": "recommendation",
        "retrieval": RETRIEVAL.__dict__,
        "features": list(names),
        "clock": clock,
        "timezone": ZONE,
    }
    model_package.describe(folder, description, [KNOWN_PRODUCTS])
    return folder


def with_state(folder: Path, prepared: Path, **more: str) -> Path:
    """A package as `deploy` ships it."""
    package = write(folder, prepared, **more)
    state.add_to_package(package, prepared)
    return package


def whole_state(prepared: Path, day: int) -> State:
    parts = [read_split(prepared / split) for split in SPLITS]
    return state.build(parts, read_catalogue(prepared / "train" / CATALOGUE), day, RETRIEVAL)


def questions(built: State, customers: list[int]) -> Questions:
    """Without live baskets."""
    places = np.array(customers)
    nothing = np.empty(0, dtype=np.int64)
    stores = np.full(len(places), -1)
    return Questions(built.day, places, built.histories.rows(places), stores, nothing, nothing)


def feature_names(prepared: Path) -> tuple[str, ...]:
    built = whole_state(prepared, read_split(prepared / "test").end_day)
    return inputs.compute(built, questions(built, [0]), RETRIEVAL).names


def linear_network(names: tuple[str, ...]) -> onnx.ModelProto:
    """The inputs and the output of the real one; a weighted sum of some features."""
    weights = np.array([[WEIGHTS.get(name, 0.0)] for name in names], dtype=np.float32)
    given: list[tuple[str, int, list[str | int | None]]] = [
        ("products", TensorProto.INT32, ["B", "C"]),
        ("features", TensorProto.FLOAT, ["B", "C", len(names)]),
        ("sequence", TensorProto.INT32, ["B", RETRIEVAL.baskets, RETRIEVAL.basket_products]),
        ("ages", TensorProto.FLOAT, ["B", RETRIEVAL.baskets]),
        ("held", TensorProto.INT32, ["B", "C", 3]),
    ]
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["summed"]),
        helper.make_node("Squeeze", ["summed", "last"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info(*value) for value in given],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["B", "C"])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([2], dtype=np.int64), "last"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def one(recommender: Recommender, ask: Ask, now: datetime | None = None) -> Answer:
    (answer,) = recommender.recommend([ask], now)
    return answer


def ids(answer: Answer) -> list[Id]:
    return [item.product_id for item in answer.items]
