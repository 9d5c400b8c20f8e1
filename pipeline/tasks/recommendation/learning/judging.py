"""Judging recommenders side by side: the same questions, the network's lists and those of all baselines."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.statistics import Interval, clustered_mean
from pipeline.tasks.recommendation.data import network
from pipeline.tasks.recommendation.data.dataset import Catalogue
from pipeline.tasks.recommendation.learning import baselines, examples, lists, networks, ranking
from pipeline.tasks.recommendation.learning.examples import Examples, Past
from pipeline.tasks.recommendation.parameters import Evaluate

NETWORK = "network"
SHORT, LONG = 10, 20  # products of a list that are judged
TIED = 1e-4  # difference of scores that rounding may make
# Slices by the baskets that a customer had before: from, up to but not including.
HISTORY = {"1 to 4 baskets": (1, 5), "5 to 19": (5, 20), "20 to 59": (20, 60), "60 and more": (60, 10**9)}


@dataclass(frozen=True)
class Judged:
    """Lists for many questions, and what came. lists: name -> int64 (B, LONG); new: the list of products
    never bought before; all others as in examples.Examples"""

    customers: np.ndarray
    baskets: list[np.ndarray]
    before: np.ndarray
    wanted: np.ndarray
    wanted_new: np.ndarray
    lists: Mapping[str, np.ndarray]
    new: np.ndarray
    new_found: np.ndarray

    def of(self, customers: np.ndarray) -> "Judged":
        """The questions of some customers."""
        rows = np.flatnonzero(np.isin(self.customers, customers))
        names = ("customers", "before", "wanted", "wanted_new", "new", "new_found")
        return Judged(
            baskets=[self.baskets[i] for i in rows],
            lists={name: made[rows] for name, made in self.lists.items()},
            **{name: getattr(self, name)[rows] for name in names},
        )


class Parity:
    """The exported graph against the trained weights in PyTorch, on every unseen question."""

    def __init__(self, package: Path, past: Past) -> None:
        self.trained = networks.load(package, past.catalogue)
        self.largest, self.changed = 0.0, 0

    def compare(self, made: Examples, exported: np.ndarray) -> None:
        again = np.where(made.inputs.products >= 0, self.trained(made), np.float32(network.NO_CANDIDATE))
        self.largest = max(self.largest, float(np.abs(exported - again).max()))
        # Two products whose scores are as close as rounding may change places; a list may not.
        first, second = (np.sort(ranking.order(each, LONG), axis=1) for each in (exported, again))
        edge = np.sort(again, axis=1)[:, -LONG - 1 : -LONG + 1]
        tied = edge[:, 1] - edge[:, 0] < TIED
        self.changed += int(((first != second).any(axis=1) & ~tied).sum())


def judge(
    past: Past,
    ranker: network.RankingNetwork,
    day: int,
    horizon: int,
    parity: Parity,
) -> Judged:
    targets = past.next_baskets(day, horizon)
    made = examples.at(past, day, targets)
    exported = ranker.scores(made.inputs)
    parity.compare(made, exported)
    state = past.state(day)
    rows = past.histories.rows(targets.customers, past.histories.ends(day))
    asked = baselines.Asked(state, targets.customers, rows, past.retrieval)
    # NumPy and SciPy let go of the interpreter while they compute: threads use the other cores.
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        counted = threads.map(lambda baseline: baseline(asked, LONG), baselines.BASELINES.values())
        found = dict(zip(baselines.BASELINES, counted, strict=True))
    found[NETWORK] = _top(made, exported)
    unbought = np.where(made.inputs.bought, network.NO_CANDIDATE, exported)
    new = _top(made, unbought)
    new_wanted = lists.hits(new, targets.products, state.products)
    return Judged(
        customers=targets.customers,
        baskets=targets.products,
        before=made.baskets,
        wanted=made.wanted,
        wanted_new=made.wanted_new,
        lists=found,
        new=new,
        new_found=new_wanted,
    )


def _top(made: Examples, values: np.ndarray) -> np.ndarray:
    places = ranking.order(values, LONG)
    chosen = np.take_along_axis(made.inputs.products, places, axis=1).astype(np.int64)
    return np.where(np.take_along_axis(values, places, axis=1) > network.NO_CANDIDATE, chosen, -1)


def joined(parts: Sequence[Judged]) -> Judged:
    def all_of(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    return Judged(
        customers=all_of("customers"),
        baskets=[basket for part in parts for basket in part.baskets],
        before=all_of("before"),
        wanted=all_of("wanted"),
        wanted_new=all_of("wanted_new"),
        lists={name: np.concatenate([part.lists[name] for part in parts]) for name in parts[0].lists},
        new=all_of("new"),
        new_found=all_of("new_found"),
    )


def _recall(judged: Judged, name: str, size: int) -> np.ndarray:
    return lists.recall(lists.hits(judged.lists[name], judged.baskets, size), judged.wanted)


Table = dict[str, dict[str, tuple[float, Interval]]]


def table(judged: Judged, catalogue: Catalogue, limits: Evaluate) -> Table:
    """For each way of making lists, each metric and its interval over customers."""
    table: Table = {}
    for name, made in judged.lists.items():
        found = lists.hits(made, judged.baskets, len(catalogue.product_ids))
        values = {}
        for k in (SHORT, LONG):
            values[f"recall_at_{k}"] = lists.recall(found[:, :k], judged.wanted)
            values[f"ndcg_at_{k}"] = lists.ndcg(found[:, :k], judged.wanted)
            values[f"hit_rate_at_{k}"] = found[:, :k].any(axis=1).astype(float)
            values[f"type_recall_at_{k}"] = lists.recall_of_kinds(
                made[:, :k], judged.baskets, catalogue.codes[:, 0]
            )
        table[name] = {
            metric: clustered_mean(each, judged.customers, draws=limits.draws, seed=limits.seed)
            for metric, each in values.items()
        }
    return table


def gain(judged: Judged, limits: Evaluate) -> tuple[float, Interval]:
    """Paired difference in recall at 20 to TIFU-KNN over the same questions."""
    size = int(max(basket.max() for basket in judged.baskets)) + 1
    size = max(size, *(int(made.max()) + 1 for made in judged.lists.values()))
    difference = _recall(judged, NETWORK, size) - _recall(judged, baselines.TIFU_KNN, size)
    return clustered_mean(difference, judged.customers, draws=limits.draws, seed=limits.seed)


def new_recall(judged: Judged, limits: Evaluate) -> tuple[float, Interval]:
    """Of the products that a customer had never bought: the share that the list of new ones held."""
    asked = judged.wanted_new > 0
    found = judged.new_found[asked].sum(axis=1) / judged.wanted_new[asked]
    return clustered_mean(found, judged.customers[asked], draws=limits.draws, seed=limits.seed)


def new_and_repeated(judged: Judged, catalogue: Catalogue) -> dict[str, float]:
    """What the mixed lists hold, and what they find, of bought and of new products apart."""
    size = len(catalogue.product_ids)
    found = lists.hits(judged.lists[NETWORK], judged.baskets, size)
    row = np.arange(len(found))[:, None].astype(np.int64)
    listed_new = np.isin(row * size + judged.lists[NETWORK], row * size + judged.new) & (
        judged.new[:, :1] >= -1
    )
    repeated = judged.wanted - judged.wanted_new
    return {
        "share_of_new_in_lists": float(listed_new.mean()),
        "share_of_new_in_baskets": float(judged.wanted_new.sum() / judged.wanted.sum()),
        "recall_of_repeated": float(((found & ~listed_new).sum(axis=1) / np.maximum(repeated, 1)).mean()),
        "recall_of_new_in_mixed_lists": float(
            ((found & listed_new).sum(axis=1) / np.maximum(judged.wanted_new, 1)).mean()
        ),
    }


def slices(judged: Judged, limits: Evaluate) -> list[dict[str, Any]]:
    size = max(int(made.max()) + 1 for made in judged.lists.values())
    size = max(size, int(max(basket.max() for basket in judged.baskets)) + 1)
    network_recall, baseline = _recall(judged, NETWORK, size), _recall(judged, baselines.TIFU_KNN, size)
    rows = []
    for name, (low, high) in HISTORY.items():
        chosen = (judged.before >= low) & (judged.before < high)
        if not chosen.any():
            continue
        mean, interval = clustered_mean(
            network_recall[chosen], judged.customers[chosen], draws=limits.draws, seed=limits.seed
        )
        rows.append(
            {
                "slice": name,
                "questions": int(chosen.sum()),
                "recall_at_20": mean,
                "interval": interval,
                baselines.TIFU_KNN: float(baseline[chosen].mean()),
            }
        )
    return rows
