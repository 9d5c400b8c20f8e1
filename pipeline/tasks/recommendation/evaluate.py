"""Evaluating a recommender on the weeks that nobody has seen.

On the Monday of each unseen week the next basket of every customer who comes in that week is
recommended from what was known that morning; gates use these questions. Beside them the first basket
after the cut is looked at, as the literature does. A product that was never sold before counts as missed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import model_package
from pipeline.core.paths import Paths
from pipeline.tasks.recommendation.data import network
from pipeline.tasks.recommendation.data.dataset import Catalogue, Purchases, read_catalogue, read_split
from pipeline.tasks.recommendation.data.item_tables import WEEK
from pipeline.tasks.recommendation.data.ranking import refuse_other_features
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.state import CATALOGUE, SPLITS
from pipeline.tasks.recommendation.learning import (
    baselines,
    cold_start,
    examples,
    judging,
    networks,
    ranking,
)
from pipeline.tasks.recommendation.learning.examples import Past
from pipeline.tasks.recommendation.learning.judging import LONG
from pipeline.tasks.recommendation.parameters import Evaluate
from pipeline.tasks.recommendation.testing import (
    accuracy,
    behaviour,
    explanations,
    misses,
    properties,
    reliability,
    representation,
    robustness,
    wanted,
)
from pipeline.tasks.recommendation.testing import slices as slices_of
from pipeline.tasks.recommendation.testing.week import Week
from pipeline.testing.evaluation import Evaluation, Part, put_together


def scores(_: Any, package: Path, prepared: Path) -> np.ndarray:
    """Mean recall at 20 of the packaged network for each customer of the unseen part; float64 (N,).

    IncompatibleModel: it was trained with other features or products than those at hand.
    """
    past = _past(package, prepared)
    unseen = past.parts[-1]
    trained = model_package.verify(package)["features"]
    ranker = network.load(package, past.catalogue)
    found, customers = [], []
    for day in range(unseen.first_day, unseen.end_day - WEEK + 1, WEEK):
        made = examples.at(past, day, past.next_baskets(day, WEEK))
        refuse_other_features(made.inputs.names, trained)
        found.append(ranking.recall(ranker.scores(made.inputs), made.relevant, made.wanted, LONG))
        customers.append(made.customers)
    _, place = np.unique(np.concatenate(customers), return_inverse=True)
    return np.bincount(place, np.concatenate(found)) / np.bincount(place)


def slices(_: Any, prepared: Path) -> Mapping[str, np.ndarray]:
    """Named slices, bool (N,) each, over exactly the customers of `scores`, in its order."""
    parts, catalogue = _parts(prepared)
    unseen = parts[-1]
    came = (unseen.day - unseen.first_day) // WEEK < (
        unseen.end_day - unseen.first_day
    ) // WEEK  # in whole weeks
    customers = np.unique(unseen.customer[came])
    return properties.named(properties.known(parts, catalogue, unseen.first_day), catalogue, customers)


def evaluate(params: Any, paths: Paths, folder: Path) -> Evaluation:
    """Writes tables and pictures into `folder`; docs/testing.md says what is in them."""
    limits: Evaluate = params.evaluate
    past = _past(paths.model, paths.prepared)
    cut = past.parts[-1].first_day
    ranker = network.load(paths.model, past.catalogue)
    trained = networks.read(paths.model, past.catalogue)
    parity = judging.Parity(trained)
    validation = _validation(past, ranker, cut - WEEK, limits)
    days = [cut + limits.every_days * i for i in range(limits.origins)]
    came = [past.next_baskets(day, limits.every_days) for day in days]
    first_baskets = past.next_baskets(cut, limits.first_basket_days)
    first = judging.judge(past, ranker, cut, first_baskets, parity)
    cold = cold_start.measure(past, cut, limits)
    # Whoever came in the first week was asked about the very same basket.
    later = [
        judging.judge(past, ranker, day, baskets, parity)
        for day, baskets in list(zip(days, came, strict=True))[1:]
    ]
    unseen = wanted.answered(past, judging.joined([first.of(came[0].customers), *later]))
    week = Week(past, ranker, days[-1], came[-1], limits.seed)
    seen = explanations.read(trained, week, limits.explanations)
    parts = [
        accuracy.measure(unseen, first, params.goals, limits, folder),
        misses.measure(unseen, limits, folder),
        slices_of.measure(unseen, validation, limits.slices, folder),
        reliability.measure(unseen, validation, limits, folder),
        robustness.measure(week, limits, folder),
        behaviour.measure(week, limits, folder),
        explanations.measure(seen, past.catalogue, limits, folder),
        representation.measure(seen, unseen, limits.seed, folder),
        parity.found,
        Part(details={"cold_start": cold}),
    ]
    return put_together(_sentence(unseen, parts[0]), parts)


def _sentence(unseen: wanted.Answered, found: Part) -> str:
    best, (low, high) = found.metrics["recall_at_20"], found.intervals["recall_at_20"]
    gain, (least, most) = found.metrics["gain_over_baseline"], found.intervals["gain_over_baseline"]
    customers = len(np.unique(unseen.judged.customers))
    return (
        f"recall at 20 {best:.4f} [{low:.4f}, {high:.4f}] for {len(unseen.judged):,} unseen baskets of "
        f"{customers:,} customers; {gain:+.4f} [{least:+.4f}, {most:+.4f}] over {baselines.TIFU_KNN}"
    )


def _validation(past: Past, ranker: network.RankingNetwork, day: int, limits: Evaluate) -> wanted.Answered:
    """Questions of the last week before the unseen ones, answered from what was known then: whatever the
    unseen weeks must not choose is chosen by them."""
    before = Past(past.parts, past.catalogue, past.retrieval, WEEK)
    rng = np.random.default_rng(limits.seed)
    drawn = examples.some(before.next_baskets(day, WEEK), limits.validation_questions, rng)
    return wanted.answered(before, judging.judge(before, ranker, day, drawn, comparators={}))


def _parts(prepared: Path) -> tuple[list[Purchases], Catalogue]:
    parts = [read_split(prepared / split) for split in SPLITS]
    return parts, read_catalogue(prepared / "train" / CATALOGUE)


def _past(package: Path, prepared: Path) -> Past:
    """All splits, with the counting of the package; the last one is unseen."""
    parts, catalogue = _parts(prepared)
    retrieval = Retrieval(**model_package.verify(package)["retrieval"])
    # The item similarity is that of the cut; nothing of the unseen weeks is in it.
    return Past(parts, catalogue, retrieval, parts[-1].end_day - parts[-1].first_day)
