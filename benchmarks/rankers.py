"""The project's network beside gradient-boosted trees and TIFU-KNN, on weeks that none of them has seen.

    python -m benchmarks.rankers retail [--json FILE] [--trees 200] [--questions 20000]

All answer the same questions; network and trees order the same candidates by the same features. The trees
(LightGBM LambdaRank, Burges 2010) learn from questions made as those of `train`. Intervals are of 95 %, by
bootstrap over customers; differences are paired. LightGBM is no dependency: `pip install lightgbm`.
"""

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import shop
from benchmarks.machine import machine
from pipeline.core import model_package, quiet
from pipeline.core.errors import FullcycleError
from pipeline.core.paths import Paths
from pipeline.core.statistics import clustered_mean
from pipeline.tasks.recommendation.data import network
from pipeline.tasks.recommendation.data.dataset import read_catalogue, read_split
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.state import CATALOGUE, SPLITS
from pipeline.tasks.recommendation.learning import baselines, examples, lists, ranking
from pipeline.tasks.recommendation.learning.examples import Examples, Past
from pipeline.tasks.recommendation.parameters import Evaluate, Train

NETWORK, TREES = "network", "LightGBM"
AGAINST = (TREES, baselines.TIFU_KNN)
LONG = 20
METRICS = {
    "recall_at_20": lambda found, wanted: lists.recall(found, wanted),
    "recall_at_10": lambda found, wanted: lists.recall(found[:, :10], wanted),
    "ndcg_at_10": lambda found, wanted: lists.ndcg(found[:, :10], wanted),
}
# What is not said is as LightGBM has it.
LAMBDARANK: dict[str, Any] = {
    "objective": "lambdarank",
    "lambdarank_truncation_level": 30,
    "learning_rate": 0.07,
    "num_leaves": 31,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "max_bin": 127,
    "deterministic": True,
    "force_col_wise": True,
    "verbosity": -1,
}
Scores = Callable[[Examples], np.ndarray]  # float32 (B, C), NO_CANDIDATE where there is no candidate


@dataclass(frozen=True)
class Judged:
    """Some questions. customers: int64 (B,); values: ranker -> metric -> float64 (B,)"""

    customers: np.ndarray
    values: Mapping[str, Mapping[str, np.ndarray]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("project", help="a recommendation project of params.yaml, trained")
    parser.add_argument("--trees", type=int, default=200, help="of LightGBM (200)")
    parser.add_argument("--questions", type=int, default=20000, help="LightGBM learns from (20000)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    if importlib.util.find_spec("lightgbm") is None:
        sys.exit("This benchmark compares with LightGBM, which is not installed: pip install lightgbm")
    quiet.silence()
    paths = Paths(Path.cwd(), arguments.project)
    params = shop.parameters(paths.root, arguments.project)
    try:
        retrieval = Retrieval(**model_package.verify(paths.model)["retrieval"])
        trees, fitted = fit_trees(paths, params.train, arguments.trees, arguments.questions)
        judged = compare(paths, retrieval, trees, params.evaluate)
    except (FullcycleError, FileNotFoundError) as error:
        sys.exit(f"{error}\nThe project must be trained first: `dvc repro train@{arguments.project}`.")
    figures = {
        "machine": machine(),
        "project": arguments.project,
        "lightgbm": fitted,
        "protocols": {name: summary(one, params.evaluate) for name, one in judged.items()},
    }
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def fit_trees(paths: Paths, params: Train, trees: int, questions: int) -> tuple[Scores, dict[str, Any]]:
    """LambdaRank on questions of the past, and what its training took."""
    import lightgbm

    past = examples.read_past(paths.prepared, params)
    fewer = {"questions_max": min(questions, params.examples.questions_max)}
    asked = params.examples.model_copy(update=fewer)
    made = examples.training(past, past.parts[-1].first_day, asked, params.seed)
    features, relevant, sizes = rows(made)
    names, count = made.inputs.names, len(made)
    del made, past
    settings = LAMBDARANK | {"num_threads": len(os.sched_getaffinity(0)), "seed": params.seed}
    began = time.perf_counter()
    data = lightgbm.Dataset(
        features, relevant, group=sizes, feature_name=list(names), params=settings, free_raw_data=True
    )
    booster = lightgbm.train(settings, data, num_boost_round=trees)
    seconds = time.perf_counter() - began

    def scores(asked: Examples) -> np.ndarray:
        there = asked.inputs.products >= 0
        found = np.full(there.shape, network.NO_CANDIDATE, dtype=np.float32)
        found[there] = booster.predict(asked.inputs.features[there])
        return found

    fitted = {
        "version": lightgbm.__version__,
        "training_seconds": round(seconds, 2),
        "questions": count,
        "candidates": len(features),
        "trees": booster.num_trees(),
    }
    return scores, fitted


def rows(made: Examples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One row a candidate: features float32 (N, F), relevant int8 (N,), and candidates of each question."""
    there = made.inputs.products >= 0
    return made.inputs.features[there], made.relevant[there].astype(np.int8), there.sum(axis=1)


def compare(paths: Paths, retrieval: Retrieval, trees: Scores, limits: Evaluate) -> dict[str, Judged]:
    """Both protocols of `evaluate`: next baskets of each unseen week; the first basket after the cut."""
    parts = [read_split(paths.prepared / split) for split in SPLITS]
    catalogue = read_catalogue(paths.prepared / "train" / CATALOGUE)
    first, end = parts[-1].first_day, parts[-1].end_day
    # The item similarity is that of the cut, as in `evaluate`.
    past = Past(parts, catalogue, retrieval, end - first)
    ranker = network.load(paths.model, catalogue)
    rankers: dict[str, Scores] = {NETWORK: lambda made: ranker.scores(made.inputs), TREES: trees}
    days = [first + limits.every_days * i for i in range(limits.origins)]
    return {
        "weekly": joined([judge(past, day, limits.every_days, rankers) for day in days]),
        "first_basket": judge(past, first, limits.first_basket_days, rankers),
    }


def judge(past: Past, day: int, horizon: int, rankers: Mapping[str, Scores]) -> Judged:
    """The questions of one day."""
    targets = past.next_baskets(day, horizon)
    made = examples.at(past, day, targets)
    found = {name: top(made.inputs.products, scores(made)) for name, scores in rankers.items()}
    before = past.histories.rows(targets.customers, past.histories.ends(day))
    asked = baselines.Asked(past.state(day), targets.customers, before, past.retrieval)
    found[baselines.TIFU_KNN] = baselines.tifu_knn(asked, LONG)
    size = len(past.catalogue.product_ids)
    values = {}
    for name, listed in found.items():
        hits = lists.hits(listed, targets.products, size)
        values[name] = {metric: compute(hits, made.wanted) for metric, compute in METRICS.items()}
    return Judged(targets.customers, values)


def top(products: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The best candidates, int64 (B, 20), -1 where there are fewer."""
    places = ranking.order(scores, LONG)
    chosen = np.take_along_axis(products, places, axis=1).astype(np.int64)
    return np.where(np.take_along_axis(scores, places, axis=1) > network.NO_CANDIDATE, chosen, -1)


def joined(parts: Sequence[Judged]) -> Judged:
    names = parts[0].values
    return Judged(
        np.concatenate([part.customers for part in parts]),
        {n: {m: np.concatenate([part.values[n][m] for part in parts]) for m in METRICS} for n in names},
    )


def summary(judged: Judged, limits: Evaluate) -> dict[str, Any]:
    """Each ranker's metrics and the network's paired differences: [mean, low, high]."""

    def mean(values: np.ndarray) -> list[float]:
        middle, interval = clustered_mean(values, judged.customers, draws=limits.draws, seed=limits.seed)
        return [middle, *interval]

    values = judged.values
    return {
        "questions": len(judged.customers),
        "customers": len(np.unique(judged.customers)),
        "rankers": {name: {m: mean(of[m]) for m in METRICS} for name, of in values.items()},
        "differences": {
            f"{NETWORK} - {name}": {m: mean(values[NETWORK][m] - values[name][m]) for m in METRICS}
            for name in AGAINST
        },
    }


def show(figures: dict[str, Any]) -> None:
    fitted = figures["lightgbm"]
    print(f"{figures['machine']}\n")
    print(
        f"LightGBM {fitted['version']}: {fitted['trees']} trees on {fitted['questions']:,} questions with "
        f"{fitted['candidates']:,} candidates in {fitted['training_seconds']:.0f} s"
    )
    for protocol, one in figures["protocols"].items():
        print(f"\n{protocol}: {one['questions']:,} questions of {one['customers']:,} customers")
        print(f"{'':20}" + "".join(f"{metric:>27}" for metric in METRICS))
        for name, values in (one["rankers"] | one["differences"]).items():
            sign = "+" if name in one["differences"] else ""
            print(f"{name:20}" + "".join(f"{shown(values[metric], sign):>27}" for metric in METRICS))


def shown(figure: Sequence[float], sign: str) -> str:
    middle, low, high = figure
    return f"{middle:{sign}.4f} [{low:{sign}.4f}, {high:{sign}.4f}]"


if __name__ == "__main__":
    main()
