"""Evaluating a recommender on the weeks that nobody has seen.

On the Monday of each unseen week the next basket of every customer who comes in that week is
recommended from what was known that morning; gates use these questions. Beside them the first basket
after the cut is looked at, as the literature does. A product that was never sold before counts as missed.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import model_package, pictures
from pipeline.core.evaluation import Evaluation
from pipeline.core.gates import Gate
from pipeline.core.paths import Paths
from pipeline.core.statistics import Interval, clustered_mean
from pipeline.tasks.recommendation.data import network
from pipeline.tasks.recommendation.data.dataset import Catalogue, read_catalogue, read_split
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.state import CATALOGUE, SPLITS
from pipeline.tasks.recommendation.learning import baselines, cold_start, examples, lists, ranking
from pipeline.tasks.recommendation.parameters import Evaluate

NETWORK = "network"
SHORT, LONG = 10, 20  # products of a list that are judged
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


def scores(package: Path, prepared: Path) -> np.ndarray:
    """Mean recall at 20 of the packaged network for each customer of the unseen part; float64 (N,)."""
    past, unseen = _read(package, prepared)
    ranker = network.load(package, past.catalogue)
    found, customers = [], []
    for day in range(unseen[0], unseen[1] - 6, 7):
        made = examples.at(past, day, past.next_baskets(day, 7))
        found.append(ranking.recall(ranker.scores(made.inputs), made.relevant, made.wanted, LONG))
        customers.append(made.customers)
    _, place = np.unique(np.concatenate(customers), return_inverse=True)
    return np.bincount(place, np.concatenate(found)) / np.bincount(place)


def evaluate(params: Any, paths: Paths, folder: Path) -> Evaluation:
    """Writes lists.csv, worst.csv and pictures into `folder`."""
    limits: Evaluate = params.evaluate
    past, unseen = _read(paths.model, paths.prepared)
    ranker = network.load(paths.model, past.catalogue)
    parity = Parity(paths.model, past)
    days = [unseen[0] + limits.every_days * i for i in range(limits.origins)]
    weekly = _joined([_judge(past, ranker, day, limits.every_days, past.catalogue, parity) for day in days])
    first = _judge(past, ranker, unseen[0], limits.first_basket_days, past.catalogue, None)
    table = _table(weekly, past.catalogue, limits)
    first_table = _table(first, past.catalogue, limits)
    gain, gain_interval = _gain(weekly, limits)
    new, new_interval = _new_recall(first, limits)
    weekly_new, weekly_new_interval = _new_recall(weekly, limits)
    slices = _slices(weekly, limits)
    cold = cold_start.measure(past, unseen[0], limits)

    best, best_interval = table[NETWORK][f"recall_at_{LONG}"]
    _write(folder, weekly, table, slices, past.catalogue, limits)
    goals = params.goals
    return Evaluation(
        summary=f"recall at 20 {best:.4f} [{best_interval[0]:.4f}, {best_interval[1]:.4f}] for "
        f"{len(weekly.wanted):,} unseen baskets of {len(np.unique(weekly.customers)):,} customers; "
        f"{gain:+.4f} [{gain_interval[0]:+.4f}, {gain_interval[1]:+.4f}] over {baselines.TIFU_KNN}",
        metrics={
            "recall_at_20": best,
            "recall_at_10": table[NETWORK]["recall_at_10"][0],
            "ndcg_at_10": table[NETWORK]["ndcg_at_10"][0],
            "ndcg_at_20": table[NETWORK]["ndcg_at_20"][0],
            "hit_rate_at_20": table[NETWORK]["hit_rate_at_20"][0],
            "first_basket_recall_at_20": first_table[NETWORK]["recall_at_20"][0],
            "gain_over_baseline": gain,
            "baseline_recall_at_20": table[baselines.TIFU_KNN]["recall_at_20"][0],
            "novel_recall_at_20": new,
            "weekly_novel_recall_at_20": weekly_new,
            "parity_max_difference": parity.largest,
        },
        intervals={
            "recall_at_20": best_interval,
            "gain_over_baseline": gain_interval,
            "novel_recall_at_20": new_interval,
            "weekly_novel_recall_at_20": weekly_new_interval,
            "ndcg_at_10": table[NETWORK]["ndcg_at_10"][1],
            "first_basket_recall_at_20": first_table[NETWORK]["recall_at_20"][1],
        },
        gates=(
            Gate("gain_over_baseline_low", gain_interval[0], "at least", goals.gain_over_baseline_min,
                 "training", f"the network does not beat {baselines.TIFU_KNN}; serve that, or train better.",
                 gain_interval),
            Gate("recall_at_20", best, "at least", goals.recall_at_20_min, "training",
                 "train longer or on more questions; see evaluation/lists.csv.", best_interval),
            Gate("novel_recall_at_20", new, "at least", goals.novel_recall_at_20_min, "training",
                 "give new products more weight (train.new_weight) or more candidates.", new_interval),
            Gate("export_changed_lists", parity.changed, "at most", 0, "training",
                 "the exported graph differs from the trained network; mend the export."),
        ),
        details={
            "questions": len(weekly.wanted),
            "customers": len(np.unique(weekly.customers)),
            "weekly": _plain(table),
            "first_basket": {"questions": len(first.wanted), "lists": _plain(first_table)},
            "slices": slices,
            "new_and_repeated": _new_and_repeated(weekly, past.catalogue),
            "cold_start": cold,
            "parity": {"max_difference": parity.largest, "changed": parity.changed},
        },
    )  # fmt: skip


def _read(package: Path, prepared: Path) -> tuple["examples.Past", tuple[int, int]]:
    """All splits, with the counting of the package, and the days that are unseen."""
    parts = [read_split(prepared / split) for split in SPLITS]
    retrieval = Retrieval(**model_package.verify(package)["retrieval"])
    unseen = (parts[-1].first_day, parts[-1].end_day)
    catalogue = read_catalogue(prepared / "train" / CATALOGUE)
    # The item similarity is that of the cut; nothing of the unseen weeks is in it.
    return examples.Past(parts, catalogue, retrieval, unseen[1] - unseen[0]), unseen


class Parity:
    """The exported graph against the trained weights in PyTorch, on every unseen question."""

    def __init__(self, package: Path, past: "examples.Past") -> None:
        from pipeline.tasks.recommendation.learning import networks

        self.trained = networks.load(package, past.catalogue)
        self.largest, self.changed = 0.0, 0

    def compare(self, made: "examples.Examples", exported: np.ndarray) -> None:
        again = np.where(made.inputs.products >= 0, self.trained(made), np.float32(network.NO_CANDIDATE))
        self.largest = max(self.largest, float(np.abs(exported - again).max()))
        # Two products whose scores are as close as rounding may change places; a list may not.
        first, second = (np.sort(ranking.order(each, LONG), axis=1) for each in (exported, again))
        edge = np.sort(again, axis=1)[:, -LONG - 1 : -LONG + 1]
        tied = edge[:, 1] - edge[:, 0] < TIED
        self.changed += int(((first != second).any(axis=1) & ~tied).sum())


TIED = 1e-4  # difference of scores


def _judge(
    past: "examples.Past",
    ranker: network.RankingNetwork,
    day: int,
    horizon: int,
    catalogue: Catalogue,
    parity: Parity | None,
) -> Judged:
    targets = past.next_baskets(day, horizon)
    made = examples.at(past, day, targets)
    exported = ranker.scores(made.inputs)
    if parity:
        parity.compare(made, exported)
    state = past.state(day)
    rows = past.histories.rows(targets.customers, past.histories.ends(day))
    asked = baselines.Asked(state, targets.customers, rows, past.retrieval)
    found = {name: baseline(asked, LONG) for name, baseline in baselines.BASELINES.items()}
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


def _top(made: "examples.Examples", values: np.ndarray) -> np.ndarray:
    places = ranking.order(values, LONG)
    chosen = np.take_along_axis(made.inputs.products, places, axis=1).astype(np.int64)
    return np.where(np.take_along_axis(values, places, axis=1) > network.NO_CANDIDATE, chosen, -1)


def _joined(parts: Sequence[Judged]) -> Judged:
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


def _table(judged: Judged, catalogue: Catalogue, limits: Evaluate) -> Table:
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


def _gain(judged: Judged, limits: Evaluate) -> tuple[float, Interval]:
    """Paired difference in recall at 20 to TIFU-KNN over the same questions."""
    size = int(max(basket.max() for basket in judged.baskets)) + 1
    size = max(size, *(int(made.max()) + 1 for made in judged.lists.values()))
    difference = _recall(judged, NETWORK, size) - _recall(judged, baselines.TIFU_KNN, size)
    return clustered_mean(difference, judged.customers, draws=limits.draws, seed=limits.seed)


def _new_recall(judged: Judged, limits: Evaluate) -> tuple[float, Interval]:
    """Of the products that a customer had never bought: the share that the list of new ones held."""
    asked = judged.wanted_new > 0
    found = judged.new_found[asked].sum(axis=1) / judged.wanted_new[asked]
    return clustered_mean(found, judged.customers[asked], draws=limits.draws, seed=limits.seed)


def _new_and_repeated(judged: Judged, catalogue: Catalogue) -> dict[str, float]:
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


def _slices(judged: Judged, limits: Evaluate) -> list[dict[str, Any]]:
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


def _plain(table: Table) -> dict[str, dict[str, list[float]]]:
    return {
        name: {metric: [mean, *interval] for metric, (mean, interval) in values.items()}
        for name, values in table.items()
    }


def _write(
    folder: Path,
    judged: Judged,
    table: Table,
    slices: list[dict[str, Any]],
    catalogue: Catalogue,
    limits: Evaluate,
) -> None:
    metrics = list(table[NETWORK])
    with (folder / "lists.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["list", *(f"{metric}{end}" for metric in metrics for end in ("", "_low", "_high"))])
        for name, values in table.items():
            figures = [figure for metric in metrics for figure in (values[metric][0], *values[metric][1])]
            writer.writerow([name, *(f"{figure:.5f}" for figure in figures)])
    found = lists.hits(judged.lists[NETWORK], judged.baskets, len(catalogue.product_ids))
    worst = np.lexsort((-judged.before, -judged.wanted, found.sum(axis=1)))[: limits.worst]
    with (folder / "worst.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["customer_id", "baskets_before", "products_wanted", "found", "never_bought_before"])
        for i in worst:
            customer = catalogue.customer_ids[judged.customers[i]]
            writer.writerow(
                [customer, judged.before[i], judged.wanted[i], found[i].sum(), judged.wanted_new[i]]
            )
    recalls = {name: values["recall_at_20"] for name, values in table.items()}
    pictures.intervals(recalls, "recall at 20, unseen weeks", folder / "lists.png")
    by_history = {row["slice"]: (row["recall_at_20"], row["interval"]) for row in slices}
    pictures.intervals(by_history, "recall at 20 by history", folder / "history.png")
