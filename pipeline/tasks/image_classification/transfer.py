"""Trainings on few images of a project, for `fullcycle transfer` (pipeline/commands/transfer.py)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.tasks.image_classification.data.dataset import Split, read_split
from pipeline.tasks.image_classification.data.pixel_statistics import channel_statistics
from pipeline.tasks.image_classification.parameters import Collect, Parameters, Train
from pipeline.training import starting
from pipeline.training.starting import Beginning


def trials(project: Parameters, prepared: Path) -> "Trials":
    return Trials(project.collect, read_split(prepared / "train"), read_split(prepared / "val"))


@dataclass(frozen=True)
class Trials:
    collect: Collect
    train: Split
    val: Split
    unit: str = "training images"
    score: str = "validation accuracy"

    @property
    def items(self) -> int:
        return len(self.train)

    def scores(self, recipe: Train, beginning: Beginning | None, size: int, seed: int) -> np.ndarray:
        """1.0 where the trained network is right about a validation image, else 0.0; float64 (N,)."""
        import lightning

        from pipeline.tasks.image_classification.learning import continuing, fitting, networks
        from pipeline.training import taking_over

        rows = np.sort(np.random.default_rng(seed).choice(len(self.train), size, replace=False))
        pixels, labels = self.train.pixels[rows], self.train.labels[rows]
        lightning.seed_everything(seed, verbose=False)
        network = networks.build(
            recipe.network, self.collect.image, len(self.collect.classes), *channel_statistics(pixels)
        )
        if beginning and recipe.start:
            continuing.refuse_leak(beginning, self.val)
            continuing.take_over(network, beginning, recipe, self.collect)
            taking_over.freeze(network, recipe.start.freeze)
            recipe = starting.at_its_rate(recipe, recipe.start)
        fitting.fit(network, recipe, seed, (pixels, labels), callbacks=[taking_over.KeepFrozen()])
        answers = fitting.predict(network, self.val.pixels).argmax(1)
        return (answers == self.val.labels).astype(np.float64)
