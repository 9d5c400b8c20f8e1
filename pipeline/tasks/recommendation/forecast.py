"""Pilot trainings on growing parts of the customers."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.tasks.recommendation.parameters import Forecast
from pipeline.training.pilots import Pilots, extrapolate

LIST = 20  # products of a list that are judged


def forecast(params: Any, prepared: Path, picture: Path) -> dict[str, Any]:
    """What the recall at 20 with the questions of all customers will be; also drawn to `picture`.

    Everybody's purchases are counted; it is the questions that a network learns from which grow with the
    customers. The pilots' recipe is shorter than that of `train`, and so the forecast a cautious one.
    """
    import lightning
    from tqdm import tqdm

    from pipeline.tasks.recommendation.learning import examples, fitting, networks, ranking, scoring

    pilots: Forecast = params.forecast
    recipe, asked = pilots.recipe, pilots.recipe.examples
    past = examples.read_past(prepared, recipe)
    val_from = past.parts[-1].first_day
    training = examples.training(past, val_from, asked, pilots.seed)
    rng = np.random.default_rng(pilots.seed)
    validation = examples.at(
        past, val_from, examples.some(past.next_baskets(val_from, asked.horizon_days), pilots.questions, rng)
    )
    mean, std = fitting.feature_statistics(training)
    customers = np.unique(training.customers)
    runs = [(share, repeat) for share in pilots.customer_shares for repeat in range(pilots.repeats)]
    sizes, recalls = [], []
    for share, repeat in tqdm(runs, desc="pilot trainings", unit="pilot"):
        chosen = rng.choice(customers, max(1, round(share * len(customers))), replace=False)
        rows = np.flatnonzero(np.isin(training.customers, chosen))
        lightning.seed_everything(pilots.seed + repeat, verbose=False)
        ranker = networks.build(recipe.network, past.catalogue.codes, mean, std, recipe.retrieval.baskets)
        fitting.fit(ranker, recipe, pilots.seed + repeat, training.rows(rows))
        scores = np.where(validation.inputs.products >= 0, scoring.scores(ranker, validation), -np.inf)
        recalls.append(ranking.recall(scores, validation.relevant, validation.wanted, LIST))
        sizes.append(len(chosen))
    missed = np.array([1 - recall.mean() for recall in recalls])
    noise = np.array([recall.std() / np.sqrt(len(recall)) for recall in recalls])
    found = Pilots("customers", np.array(sizes), [repeat for _, repeat in runs], missed, noise)
    goal = params.goals.recall_at_20_min
    return extrapolate(found, len(customers), goal, draws=pilots.draws, seed=pilots.seed, picture=picture)
