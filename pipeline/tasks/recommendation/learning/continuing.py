"""Going on from a trained ranker: its weights under this catalogue, and what it knew before."""

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipeline.core import model_package
from pipeline.core.errors import IncompatibleModel, ModelError
from pipeline.tasks.recommendation.data import network
from pipeline.tasks.recommendation.data.dataset import Catalogue
from pipeline.tasks.recommendation.data.network import KNOWN_PRODUCTS
from pipeline.tasks.recommendation.data.ranking import refuse_other_features
from pipeline.tasks.recommendation.learning import ranking
from pipeline.tasks.recommendation.learning.examples import Examples, Past
from pipeline.tasks.recommendation.learning.networks.ranker import Ranker
from pipeline.training import taking_over
from pipeline.training.starting import Beginning

LIST = 20  # products of a list that are judged
EMBEDDINGS = "embeddings.{}.weight"


def take_over(ranker: Ranker, beginning: Beginning, catalogue: Catalogue, features: tuple[str, ...]) -> None:
    """Puts the trained weights into a fresh `ranker`, mean and spread of the features among them.

    What is learnt for a type, manufacturer, category or brand goes by the products that both catalogues
    have, where the model is of this project; what only this catalogue has stays as drawn. Another shop's
    names mean other things, so all of it stays as drawn then. IncompatibleModel: other features or shape.
    """
    refuse_other_features(features, beginning.description["features"])
    weights = load_file(beginning.package / model_package.WEIGHTS)
    adapted: dict[str, Tensor] = {"codes": ranker.codes}
    for place, column in enumerate(ranker.columns):
        name = EMBEDDINGS.format(place)
        rows, trained = ranker.state_dict()[name].clone(), weights.get(name)
        if trained is None or rows.shape[1] != trained.shape[1]:
            continue  # named as another shape below
        if beginning.own:
            here, there = _same_codes(beginning, weights["codes"].numpy()[:-1], catalogue, column)
            rows[here] = trained[there]
        adapted[name] = rows
    taking_over.load(ranker, weights, adapted, beginning.name)


def _same_codes(
    beginning: Beginning, codes: np.ndarray, catalogue: Catalogue, column: int
) -> tuple[Tensor, Tensor]:
    """Codes of a column that stand for the same value, int64 (n,) each: in this catalogue, in the model's."""
    known = np.load(beginning.package / KNOWN_PRODUCTS)
    if known.dtype.kind != catalogue.product_ids.dtype.kind:
        raise IncompatibleModel(
            f"{beginning.name} knows products by {known.dtype}, the data by {catalogue.product_ids.dtype}."
        )
    _, ours, theirs = np.intersect1d(catalogue.product_ids, known, assume_unique=True, return_indices=True)
    pairs = np.stack([catalogue.codes[ours, column], codes[theirs, column]])
    pairs, counts = np.unique(pairs[:, (pairs > 0).all(axis=0)], axis=1, return_counts=True)
    # A product may have moved to another type since: what most products of a value say counts.
    pairs = pairs[:, np.argsort(-counts, kind="stable")]
    _, first = np.unique(pairs[0], return_index=True)
    here, there = np.concatenate([[[0], [0]], pairs[:, first]], axis=1)  # 0 is what is not known, in both
    return torch.from_numpy(here.astype(np.int64)), torch.from_numpy(there.astype(np.int64))


def refuse_leak(beginning: Beginning, val_from: int) -> None:
    """ModelError where the model has learnt from days that are to choose now, or that nobody has seen."""
    until = beginning.description.get("learnt_until")
    if beginning.own and until is not None and until > val_from:
        raise ModelError(
            f"{beginning.name} has learnt from days up to {_day(until)}; this project's validation begins on "
            f"{_day(val_from)}, before that. Move prepare.split forward, begin with an older model, or set "
            "train.start to null."
        )


def old_rows(beginning: Beginning, past: Past, validation: Examples) -> np.ndarray:
    """int64 (O,): validation questions of the customers that the old model has learnt from."""
    until = beginning.description.get("learnt_until", -1)
    before = past.parts[0].customer[: np.searchsorted(past.parts[0].day, until)]
    return np.flatnonzero(np.isin(validation.customers, np.unique(before)))


def recall_before(beginning: Beginning, catalogue: Catalogue, asked: Examples) -> np.ndarray:
    """Recall at 20 of the old model for each of the questions; float64 (B,)."""
    if not len(asked):
        return np.empty(0)
    scores = network.load(beginning.package, catalogue).scores(asked.inputs)
    return ranking.recall(scores, asked.relevant, asked.wanted, LIST)


def _day(number: int) -> str:
    return str(np.datetime64(number, "D"))
