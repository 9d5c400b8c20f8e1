"""Trainings on the questions of few customers, for `fullcycle transfer` (pipeline/commands/transfer.py)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.tasks.recommendation.data.dataset import Catalogue
from pipeline.tasks.recommendation.parameters import Parameters, Train
from pipeline.training import starting
from pipeline.training.starting import Beginning

if TYPE_CHECKING:
    from pipeline.tasks.recommendation.learning.examples import Examples


def trials(project: Parameters, prepared: Path) -> "Trials":
    from pipeline.tasks.recommendation.learning import examples

    recipe = project.train
    past = examples.read_past(prepared, recipe)
    val_from = past.parts[-1].first_day
    training = examples.training(past, val_from, recipe.examples, recipe.seed)
    validation = examples.at(past, val_from, past.next_baskets(val_from, recipe.examples.horizon_days))
    return Trials(past.catalogue, training, validation, val_from)


@dataclass(frozen=True)
class Trials:
    """Everybody's purchases are counted; it is the questions to learn from that grow with the customers."""

    catalogue: Catalogue
    training: "Examples"
    validation: "Examples"
    val_from: int
    unit: str = "customers"
    score: str = "recall at 20, validation"

    @property
    def items(self) -> int:
        return len(np.unique(self.training.customers))

    def scores(self, recipe: Train, beginning: Beginning | None, size: int, seed: int) -> np.ndarray:
        """Recall at 20 of the trained network for each validation question; float64 (N,)."""
        import lightning

        from pipeline.tasks.recommendation.learning import continuing, fitting, networks, ranking, scoring
        from pipeline.training import taking_over

        customers = np.unique(self.training.customers)
        chosen = np.random.default_rng(seed).choice(customers, size, replace=False)
        training = self.training.rows(np.flatnonzero(np.isin(self.training.customers, chosen)))
        lightning.seed_everything(seed, verbose=False)
        mean, std = fitting.feature_statistics(training)
        ranker = networks.build(recipe.network, self.catalogue.codes, mean, std, recipe.retrieval.baskets)
        if beginning and recipe.start:
            continuing.refuse_leak(beginning, self.val_from)
            continuing.take_over(ranker, beginning, self.catalogue, training.inputs.names)
            taking_over.freeze(ranker, recipe.start.freeze)
            recipe = starting.at_its_rate(recipe, recipe.start)
        fitting.fit(ranker, recipe, seed, training, callbacks=[taking_over.KeepFrozen()])
        asked = self.validation
        scores = np.where(asked.inputs.products >= 0, scoring.scores(ranker, asked), -np.inf)
        return ranking.recall(scores, asked.relevant, asked.wanted, continuing.LIST)
