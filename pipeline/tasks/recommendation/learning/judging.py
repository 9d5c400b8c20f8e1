"""Judging recommenders side by side: the same questions, the network's lists and those of all baselines."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core.gates import Gate
from pipeline.core.statistics import Interval, clustered_mean, clustered_means
from pipeline.tasks.recommendation.data import network
from pipeline.tasks.recommendation.data.dataset import Catalogue
from pipeline.tasks.recommendation.learning import baselines, examples, lists, ranking
from pipeline.tasks.recommendation.learning.examples import Examples, Past, Targets
from pipeline.tasks.recommendation.parameters import Evaluate
from pipeline.testing.evaluation import Part

if TYPE_CHECKING:
    from pipeline.tasks.recommendation.learning.networks.ranker import Ranker

NETWORK = "network"
SHORT, LONG = 10, 20  # products of a list that are judged
TIED = 1e-4  # difference of scores that rounding may make
Baseline = Callable[[baselines.Asked, int], np.ndarray]


@dataclass(frozen=True)
class Judged:
    """Questions, what came, and what was made of them.

    days: int64 (B,) on which each was asked; customers, baskets (products of each basket that came), before,
    wanted, wanted_new: as in examples.Examples
    products: int32 (B, C) candidates, -1 where there are fewer; bought, relevant: bool (B, C); scores:
    float32 (B, C) of the exported network lists: name -> int64 (B, LONG); new: the network's list of products
    never bought before; new_found: bool, what of it came
    """

    days: np.ndarray
    customers: np.ndarray
    baskets: list[np.ndarray]
    before: np.ndarray
    wanted: np.ndarray
    wanted_new: np.ndarray
    products: np.ndarray
    bought: np.ndarray
    relevant: np.ndarray
    scores: np.ndarray
    lists: Mapping[str, np.ndarray]
    new: np.ndarray
    new_found: np.ndarray

    def __len__(self) -> int:
        return len(self.wanted)

    def of(self, customers: np.ndarray) -> "Judged":
        """The questions of some customers."""
        rows = np.flatnonzero(np.isin(self.customers, customers))
        return Judged(
            baskets=[self.baskets[i] for i in rows],
            lists={name: made[rows] for name, made in self.lists.items()},
            **{name: getattr(self, name)[rows] for name in ARRAYS},
        )

    def recall(self, name: str) -> np.ndarray:
        """At 20, of one of the lists; float64 (B,)."""
        found = lists.hits(self.lists[name], self.baskets, _largest(self) + 1)
        return lists.recall(found, self.wanted)


ARRAYS = tuple(field.name for field in fields(Judged) if field.name not in ("baskets", "lists"))


class Parity:
    """The exported graph against the trained weights in PyTorch, on every unseen question."""

    def __init__(self, trained: "Ranker") -> None:
        self.trained = trained
        self.largest, self.changed = 0.0, 0

    def compare(self, made: Examples, exported: np.ndarray) -> None:
        from pipeline.tasks.recommendation.learning import scoring

        scores = scoring.scores(self.trained, made)
        again = np.where(made.inputs.products >= 0, scores, np.float32(network.NO_CANDIDATE))
        self.largest = max(self.largest, float(np.abs(exported - again).max()))
        # Two products whose scores are as close as rounding may change places; a list may not.
        first, second = (np.sort(ranking.order(each, LONG), axis=1) for each in (exported, again))
        edge = np.sort(again, axis=1)[:, -LONG - 1 : -LONG + 1]
        tied = edge[:, 1] - edge[:, 0] < TIED
        self.changed += int(((first != second).any(axis=1) & ~tied).sum())

    @property
    def found(self) -> Part:
        return Part(
            metrics={"parity_max_difference": self.largest},
            gates=(
                Gate("export_changed_lists", self.changed, "at most", 0, "training",
                     "the exported graph differs from the trained network; mend the export."),
            ),
            details={"parity": {"max_difference": self.largest, "changed": self.changed}},
        )  # fmt: skip


def judge(
    past: Past,
    ranker: network.RankingNetwork,
    day: int,
    targets: Targets,
    parity: Parity | None = None,
    comparators: Mapping[str, Baseline] = baselines.BASELINES,
) -> Judged:
    """The network's lists of one day, and those of the comparators."""
    made = examples.at(past, day, targets)
    exported = ranker.scores(made.inputs)
    if parity:
        parity.compare(made, exported)
    state = past.state(day)
    rows = past.histories.rows(targets.customers, past.histories.ends(day))
    asked = baselines.Asked(state, targets.customers, rows, past.retrieval)
    # NumPy and SciPy let go of the interpreter while they compute: threads use the other cores.
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        counted = threads.map(lambda baseline: baseline(asked, LONG), comparators.values())
        found = dict(zip(comparators, counted, strict=True))
    found[NETWORK] = _top(made, exported)
    unbought = np.where(made.inputs.bought, network.NO_CANDIDATE, exported)
    new = _top(made, unbought)
    return Judged(
        days=np.full(len(targets.customers), day),
        customers=targets.customers,
        baskets=targets.products,
        before=made.baskets,
        wanted=made.wanted,
        wanted_new=made.wanted_new,
        products=made.inputs.products,
        bought=made.inputs.bought,
        relevant=made.relevant > 0,
        scores=exported,
        lists=found,
        new=new,
        new_found=lists.hits(new, targets.products, state.products),
    )


def _top(made: Examples, values: np.ndarray) -> np.ndarray:
    places = ranking.order(values, LONG)
    chosen = np.take_along_axis(made.inputs.products, places, axis=1).astype(np.int64)
    return np.where(np.take_along_axis(values, places, axis=1) > network.NO_CANDIDATE, chosen, -1)


def joined(parts: Sequence[Judged]) -> Judged:
    return Judged(
        baskets=[basket for part in parts for basket in part.baskets],
        lists={name: np.concatenate([part.lists[name] for part in parts]) for name in parts[0].lists},
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in ARRAYS},
    )


def _largest(judged: Judged) -> int:
    """The last product that came or was listed."""
    came = max(int(basket.max()) for basket in judged.baskets)
    return max(came, *(int(made.max()) for made in judged.lists.values()))


Table = dict[str, dict[str, tuple[float, Interval]]]


def table(
    judged: Judged, catalogue: Catalogue, limits: Evaluate, more: Mapping[str, Mapping[str, np.ndarray]]
) -> Table:
    """For each way of making lists, each metric and its interval over customers.

    more: name of the list -> further metrics, float64 (B,) each
    """
    values: dict[tuple[str, str], np.ndarray] = {}
    for name, made in judged.lists.items():
        found = lists.hits(made, judged.baskets, len(catalogue.product_ids))
        for k in (SHORT, LONG):
            values[name, f"recall_at_{k}"] = lists.recall(found[:, :k], judged.wanted)
            values[name, f"ndcg_at_{k}"] = lists.ndcg(found[:, :k], judged.wanted)
            values[name, f"hit_rate_at_{k}"] = found[:, :k].any(axis=1).astype(float)
            values[name, f"type_recall_at_{k}"] = lists.recall_of_kinds(
                made[:, :k], judged.baskets, catalogue.codes[:, 0]
            )
        values[name, f"map_at_{LONG}"] = lists.average_precision(found, judged.wanted)
        values[name, f"mrr_at_{LONG}"] = lists.reciprocal_rank(found)
        values |= {(name, metric): each for metric, each in more.get(name, {}).items()}
    means = clustered_means(
        np.stack(list(values.values())), judged.customers, draws=limits.draws, seed=limits.seed
    )
    found_table: Table = {name: {} for name in judged.lists}
    for (name, metric), mean in zip(values, means, strict=True):
        found_table[name][metric] = mean
    return found_table


def gain(judged: Judged, limits: Evaluate) -> tuple[float, Interval]:
    """Paired difference in recall at 20 to TIFU-KNN over the same questions."""
    difference = judged.recall(NETWORK) - judged.recall(baselines.TIFU_KNN)
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
