"""Going on from a trained classifier: its weights under these classes, and what it knew before."""

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from pipeline.core import model_package, seen_items
from pipeline.core.deployed_network import DeployedNetwork
from pipeline.core.errors import ModelError
from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.learning import networks
from pipeline.tasks.image_classification.parameters import Collect
from pipeline.tasks.image_classification.recipe_parameters import Recipe
from pipeline.training import taking_over
from pipeline.training.starting import Beginning


def take_over(network: nn.Module, beginning: Beginning, recipe: Recipe, collect: Collect) -> None:
    """Puts the trained weights into a fresh `network`, statistics of the input among them.

    The last layer goes by the names of the classes: rows of classes that the model does not know stay as
    drawn. IncompatibleModel: the rest of the network has another shape.
    """
    weights = load_file(beginning.package / model_package.WEIGHTS)
    places = {name: place for place, name in enumerate(beginning.description["classes"])}
    shared = [(here, places[name]) for here, name in enumerate(collect.classes) if name in places]
    adapted = {}
    for name in _of_the_classes(network, recipe, collect) & weights.keys():
        rows = network.state_dict()[name].clone()
        if rows.shape[1:] == weights[name].shape[1:]:
            for here, there in shared:
                rows[here] = weights[name][there]
            adapted[name] = rows
    taking_over.load(network, weights, adapted, beginning.name)


def _of_the_classes(network: nn.Module, recipe: Recipe, collect: Collect) -> set[str]:
    """Names of the weights that have one row a class, whatever the network: with one class more they grow."""
    channels = collect.image.channels
    with torch.random.fork_rng(devices=[]):
        larger = networks.build(
            recipe.network, collect.image, len(collect.classes) + 1, [0.0] * channels, [1.0] * channels
        )
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    return {name for name, value in larger.state_dict().items() if value.shape != shapes[name]}


def refuse_leak(beginning: Beginning, val: Split) -> None:
    """ModelError where the model has learnt from what is to choose now: its accuracy would flatter."""
    trained, _ = seen_items.read(beginning.package)
    known = int(np.isin(seen_items.numbers(val.ids), trained).sum())
    if known:
        raise ModelError(
            f"{beginning.name} has learnt from {known:,} of the {len(val):,} validation images, and perhaps "
            "from unseen ones: the images were split another way then. Go back to that prepare.salt and "
            "those shares, begin with another model, or set train.start to null."
        )


def old_rows(beginning: Beginning, val: Split, collect: Collect) -> np.ndarray:
    """int64 (O,): validation images that chose the old model, too, and whose class it knows."""
    _, chosen = seen_items.read(beginning.package)
    known = [place for place, name in enumerate(collect.classes) if name in beginning.description["classes"]]
    return np.flatnonzero(np.isin(seen_items.numbers(val.ids), chosen) & np.isin(val.labels, known))


def right_before(beginning: Beginning, val: Split, rows: np.ndarray, collect: Collect) -> np.ndarray:
    """1.0 where the old model was right about the image at each of `rows`, else 0.0; float64 (O,)."""
    if not len(rows):
        return np.empty(0)
    network = DeployedNetwork(beginning.package)
    answers = np.array(network.description["classes"])[network.run(val.pixels[rows], "logits").argmax(1)]
    return (answers == np.array(collect.classes)[val.labels[rows]]).astype(np.float64)
