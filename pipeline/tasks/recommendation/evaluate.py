"""Evaluating a recommender on the weeks that nobody has seen.

On the Monday of each unseen week the next basket of every customer who comes in that week is
recommended from what was known that morning; gates use these questions. Beside them the first basket
after the cut is looked at, as the literature does. A product that was never sold before counts as missed.
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import model_package, pictures
from pipeline.core.evaluation import Evaluation
from pipeline.core.gates import Gate
from pipeline.core.paths import Paths
from pipeline.tasks.recommendation.data import network
from pipeline.tasks.recommendation.data.dataset import Catalogue, read_catalogue, read_split
from pipeline.tasks.recommendation.data.ranking import refuse_other_features
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.state import CATALOGUE, SPLITS
from pipeline.tasks.recommendation.learning import baselines, cold_start, examples, judging, lists, ranking
from pipeline.tasks.recommendation.learning.judging import LONG, NETWORK, Judged, Table
from pipeline.tasks.recommendation.parameters import Evaluate


def scores(_: Any, package: Path, prepared: Path) -> np.ndarray:
    """Mean recall at 20 of the packaged network for each customer of the unseen part; float64 (N,).

    IncompatibleModel: it was trained with other features or products than those at hand.
    """
    past, unseen = _read(package, prepared)
    trained = model_package.verify(package)["features"]
    ranker = network.load(package, past.catalogue)
    found, customers = [], []
    for day in range(unseen[0], unseen[1] - 6, 7):
        made = examples.at(past, day, past.next_baskets(day, 7))
        refuse_other_features(made.inputs.names, trained)
        found.append(ranking.recall(ranker.scores(made.inputs), made.relevant, made.wanted, LONG))
        customers.append(made.customers)
    _, place = np.unique(np.concatenate(customers), return_inverse=True)
    return np.bincount(place, np.concatenate(found)) / np.bincount(place)


def slices(_: Any, prepared: Path) -> Mapping[str, np.ndarray]:
    """Parts of the unseen part's customers in which no new model may fall behind, bool (N,) as `scores`:
    by the baskets that a customer had before."""
    *earlier, unseen = (read_split(prepared / split) for split in SPLITS)
    weeks = (unseen.end_day - unseen.first_day) // 7
    asked = unseen.customer[: np.searchsorted(unseen.day, unseen.first_day + 7 * weeks)]
    customers = np.unique(asked)
    owners = [part.customer[np.unique(part.basket, return_index=True)[1]] for part in earlier]
    before = np.bincount(np.concatenate(owners), minlength=customers.max() + 1)[customers]
    return {name: (before >= least) & (before < end) for name, (least, end) in judging.HISTORY.items()}


def evaluate(params: Any, paths: Paths, folder: Path) -> Evaluation:
    """Writes lists.csv, worst.csv and pictures into `folder`."""
    limits: Evaluate = params.evaluate
    past, unseen = _read(paths.model, paths.prepared)
    ranker = network.load(paths.model, past.catalogue)
    parity = judging.Parity(paths.model, past)
    days = [unseen[0] + limits.every_days * i for i in range(limits.origins)]
    first = judging.judge(past, ranker, unseen[0], limits.first_basket_days, parity)
    # Whoever came in the first week was asked about the very same basket.
    first_week = first.of(past.next_baskets(unseen[0], limits.every_days).customers)
    later = [judging.judge(past, ranker, day, limits.every_days, parity) for day in days[1:]]
    weekly = judging.joined([first_week, *later])
    table = judging.table(weekly, past.catalogue, limits)
    first_table = judging.table(first, past.catalogue, limits)
    gain, gain_interval = judging.gain(weekly, limits)
    new, new_interval = judging.new_recall(first, limits)
    weekly_new, weekly_new_interval = judging.new_recall(weekly, limits)
    slices = judging.slices(weekly, limits)
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
            "new_and_repeated": judging.new_and_repeated(weekly, past.catalogue),
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
