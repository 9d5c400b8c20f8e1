"""Going on from a trained model: which version of the registry, its package, and what may be forgotten.

The registry changes outside DVC. The version that was begun with therefore stands in model.json and in the
evidence, and an interrupted training goes on only from the same one. torch's part is training/taking_over.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pipeline.core import model_package, registry, tracking
from pipeline.core.errors import IncompatibleModel, ModelError
from pipeline.core.gates import Gate
from pipeline.core.parameters import Start, Strict
from pipeline.core.paths import Paths
from pipeline.core.registry import CHAMPION, Version
from pipeline.core.statistics import paired_difference

Recipe = TypeVar("Recipe", bound=Strict)


@dataclass(frozen=True)
class Beginning:
    """A trained model to begin with.

    package: its verified package; own: whether it is of this very project, so that its data is older data
    of the same kind
    """

    version: Version
    package: Path
    own: bool

    @property
    def name(self) -> str:
        return f"{self.version.name} version {self.version.version}"

    @property
    def description(self) -> dict[str, Any]:
        return model_package.verify(self.package)

    def as_json(self) -> dict[str, str]:
        """For model.json: the version's name, number and the SHA-256 of its network and of its data."""
        return {
            "model": self.version.name,
            "version": self.version.version,
            "sha256": self.version.sha256,
            "data_sha256": self.description["data_sha256"],
        }


def version(paths: Paths, start: Start | None) -> Version | None:
    """What `train.start.from` names in the registry now; None where weights are drawn at random."""
    if start is None:
        return None
    named, _, number = start.from_.partition("/")
    name = paths.project if named == CHAMPION else named
    client = tracking.client(paths)
    found = registry.by_number(client, name, number) if number else registry.by_alias(client, name, CHAMPION)
    if found is None:
        what = f"version {number}" if number else "champion"
        raise ModelError(
            f"params.yaml: train.start.from: {start.from_!r}: {tracking.tracking_uri(paths)} has no "
            f"registered {what} of {name}. Train and register one (`dvc repro register@{name}`), or set "
            "train.start to null."
        )
    return found


def fetch(paths: Paths, found: Version, task: str, folder: Path) -> Beginning:
    """Brings the package of a version into `folder`. IncompatibleModel: it is of another task."""
    beginning = Beginning(found, registry.download(paths, found, folder), found.name == paths.project)
    theirs = beginning.description.get("task")
    if theirs != task:
        raise IncompatibleModel(f"{beginning.name} is of the task {theirs}, {paths.project} of {task}.")
    return beginning


def at_its_rate(recipe: Recipe, start: Start | None) -> Recipe:
    """The recipe with its learning rate changed as `start` says; any with the field `learning_rate`."""
    if start is None:
        return recipe
    rate = getattr(recipe, "learning_rate") * start.learning_rate_factor  # noqa: B009 - of each task's recipe
    return recipe.model_copy(update={"learning_rate": rate})


def forgetting(
    before: np.ndarray, after: np.ndarray, start: Start, seed: int
) -> tuple[Mapping[str, float], Gate]:
    """How much of the old data the training has cost, measured on validation items of that data.

    before, after: float (N,), the score of each old item by the model that was begun with, and by the new
    one. The lower end of the paired 95 % interval must stay above minus `start.margin`. Without a single old
    item the gate fails: nothing was measured.
    """
    figures = {"old_items": float(len(before))}
    lost, interval = float("nan"), None
    if len(before):
        difference, interval = paired_difference(after, before, draws=start.draws, seed=seed)
        lost = interval[0]
        figures |= {
            "old_score_before": float(np.mean(before)),
            "old_score_after": float(np.mean(after)),
            "old_score_difference": difference,
        }
    gate = Gate(
        "old_data_difference_low", lost, "at least", -start.margin, "training",
        "the training has cost what was known of the old data, or there are too few of its items to tell: "
        "keep it beside the new, lower train.start.learning_rate_factor, freeze more, or set train.start "
        "to null.",
        interval,
    )  # fmt: skip
    return figures, gate
