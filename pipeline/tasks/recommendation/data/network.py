"""The deployed ranker, run by ONNX Runtime; the same code offline and in the service."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core import model_package, onnx_file
from pipeline.core.errors import IncompatibleModel, ModelError
from pipeline.tasks.recommendation.data.dataset import Catalogue
from pipeline.tasks.recommendation.data.inputs import GIVEN, Inputs

if TYPE_CHECKING:
    import onnxruntime

KNOWN_PRODUCTS = "products.npy"  # in the package: ids in the order in which the network knows them
BATCH = 128  # questions at once
NO_CANDIDATE = -1e9  # score of what is no candidate


@dataclass(frozen=True)
class RankingNetwork:
    """place: int32 (P + 1,) of each product of the catalogue in the network, of one more where it is unknown;
    the last is -1, for no product."""

    session: "onnxruntime.InferenceSession"
    place: np.ndarray

    def scores(self, inputs: Inputs) -> np.ndarray:
        """float32 (B, C); NO_CANDIDATE where there is no candidate."""
        found = []
        for start in range(0, len(inputs.products), BATCH):
            given = dict(zip(GIVEN, inputs.given(slice(start, start + BATCH)), strict=True))
            for name in ("products", "sequence"):
                given[name] = self.place[given[name]]
            found.append(self.session.run(["scores"], given)[0])
        scores: np.ndarray = found[0] if len(found) == 1 else np.concatenate(found)
        scores[inputs.products < 0] = NO_CANDIDATE
        return scores


def load(package: Path, catalogue: Catalogue, threads: int = 0) -> RankingNetwork:
    """The network of a verified package, for the products of a catalogue that may be newer than it.

    threads: for one run; 0 takes all cores
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    options.inter_op_num_threads = 1
    # Idle threads that spin would take the cores from the web server beside them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    path = package / model_package.NETWORK
    onnx_file.refuse_unsound(path)
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions have no common base but Exception
        raise ModelError(f"{path}: ONNX Runtime cannot load it: {error}") from error
    taken = tuple(each.name for each in session.get_inputs())
    if taken != GIVEN:
        raise IncompatibleModel(
            f"The network takes {', '.join(taken)}; this code gives {', '.join(GIVEN)}. Train it again."
        )
    place = _places(np.load(package / KNOWN_PRODUCTS), catalogue.product_ids)
    return RankingNetwork(session, np.append(place, np.int32(-1)))


def _places(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    if known.dtype.kind != wanted.dtype.kind:
        raise IncompatibleModel(
            f"The network knows its products by {known.dtype}, the data by {wanted.dtype}. Train it again."
        )
    order = np.argsort(known, kind="stable")
    places = np.minimum(np.searchsorted(known[order], wanted), len(known) - 1)
    return np.where(known[order][places] == wanted, order[places], len(known)).astype(np.int32)
