"""What each advance in training brings: the same short training again and again, with one thing changed."""

from collections.abc import Sequence
from dataclasses import dataclass

import lightning
import numpy as np
import torch
from tqdm import tqdm

from pipeline.core.statistics import Interval, student_interval
from pipeline.tasks.image_classification.data.pixel_statistics import channel_statistics
from pipeline.tasks.image_classification.learning import fitting, networks
from pipeline.tasks.image_classification.learning.gradients import GradientNorms
from pipeline.tasks.image_classification.parameters import BASE, Collect
from pipeline.tasks.image_classification.recipe_parameters import Recipe

PROBE = 256  # training images on which gradients are measured

Images = tuple[np.ndarray, np.ndarray]  # pixels uint8 (N, C, H, W), labels int64 (N,)


@dataclass(frozen=True)
class Row:
    """One line of the table. accuracies: on the validation images, one a seed; gradients: float
    (S, E + 1, L), norms of each seed, before training and after each epoch, of each layer."""

    recipe: Recipe
    accuracies: tuple[float, ...]
    gradients: np.ndarray

    @property
    def accuracy(self) -> tuple[float, Interval]:
        """Mean and its 95 % interval over the seeds."""
        return student_interval(self.accuracies)

    def gain(self, base: "Row") -> tuple[float, Interval]:
        """Over another row, seed by seed: the same seed gives both the same images in the same order."""
        return student_interval(np.subtract(self.accuracies, base.accuracies).tolist())

    @property
    def norms(self) -> np.ndarray:
        """Median over the seeds, float (E + 1, L)."""
        return np.median(self.gradients, axis=0)

    @property
    def vanishing(self) -> float:
        """Gradient of the first layer over that of the last, before training."""
        first, last = self.norms[0, [0, -1]]
        return float(first / last) if last else float("nan")


def train_all(
    recipes: dict[str, Recipe], seeds: Sequence[int], collect: Collect, train: Images, val: Images
) -> dict[str, Row]:
    """Trains every recipe once with every seed. Nothing is logged or kept but what the rows say."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # thirty narrow layers wait for their threads longer than they compute
    try:
        return _train_all(recipes, seeds, collect, train, val)
    finally:
        torch.set_num_threads(threads)


def _train_all(
    recipes: dict[str, Recipe], seeds: Sequence[int], collect: Collect, train: Images, val: Images
) -> dict[str, Row]:
    runs = tqdm(total=len(recipes) * len(seeds), desc="ablation", unit="training")
    probe = torch.from_numpy(train[0][:PROBE]), torch.from_numpy(train[1][:PROBE])
    rows = {}
    for name, recipe in recipes.items():
        runs.set_postfix_str(name)
        accuracies, gradients = [], []
        for seed in seeds:
            lightning.seed_everything(seed, verbose=False)
            network = networks.build(
                recipe.network, collect.image, len(collect.classes), *channel_statistics(train[0])
            )
            measured = GradientNorms(*probe)
            fitting.fit(network, recipe, seed, train, callbacks=[measured])
            accuracies.append(float((fitting.predict(network, val[0]).argmax(1) == val[1]).mean()))
            gradients.append(measured.found)
            runs.update()
        rows[name] = Row(recipe, tuple(accuracies), np.array(gradients))
    runs.close()
    return rows


def differences(base: object, changed: object, place: str = "") -> list[str]:
    """What a changed recipe, as plain data, says otherwise: `network.activation sigmoid`, for instance."""
    if isinstance(base, dict) and isinstance(changed, dict) and base.get("name") == changed.get("name"):
        return [
            line
            for key, value in changed.items()
            for line in differences(base.get(key), value, f"{place}.{key}".lstrip("."))
        ]
    if base == changed:
        return []
    if not isinstance(changed, dict):
        return [f"{place} {changed}"]
    others = ", ".join(f"{key} {value}" for key, value in changed.items() if key != "name")
    return [f"{place} {changed['name']}" + (f" ({others})" if others else "")]


def table(rows: dict[str, Row]) -> list[dict[str, object]]:
    """The rows as plain data, in their order; figures that are not finite are None."""
    base = rows[BASE]
    found: list[dict[str, object]] = []
    for name, row in rows.items():
        accuracy, interval = row.accuracy
        gain, gain_interval = row.gain(base)
        plain, changed = base.recipe.model_dump(mode="json"), row.recipe.model_dump(mode="json")
        found.append({
            "name": name,
            "changed": "; ".join(differences(plain, changed)),
            "accuracy": accuracy,
            "accuracy_low": interval[0],
            "accuracy_high": interval[1],
            "gain": gain,
            "gain_low": gain_interval[0],
            "gain_high": gain_interval[1],
            "first_gradient": _finite(row.norms[0, 0]),
            "last_gradient": _finite(row.norms[0, -1]),
            "first_over_last": _finite(row.vanishing),
        })  # fmt: skip
    return found


def gradients(rows: dict[str, Row]) -> dict[str, list[list[float | None]]]:
    """Of each row, for each epoch (0: before training), the norm of each layer's gradient."""
    return {
        name: [[_finite(norm) for norm in epoch] for epoch in row.norms.tolist()]
        for name, row in rows.items()
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
