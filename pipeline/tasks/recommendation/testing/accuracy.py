"""How good the lists are, beside those of the comparators, with an interval over customers for each
figure."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.core import pictures
from pipeline.core.gates import Gate
from pipeline.tasks.recommendation.learning import baselines, judging
from pipeline.tasks.recommendation.learning.judging import NETWORK, Judged, Table
from pipeline.tasks.recommendation.parameters import Evaluate, Goals
from pipeline.tasks.recommendation.testing import beyond_accuracy
from pipeline.tasks.recommendation.testing.wanted import Answered
from pipeline.testing.evaluation import Part

# Of the network's lists, among the headline figures.
HEADLINES = (
    "recall_at_20", "recall_at_10", "ndcg_at_10", "ndcg_at_20", "hit_rate_at_20", "map_at_20", "mrr_at_20",
    "novelty_at_20", "diversity_at_20", "repeats_at_20",
)  # fmt: skip


def measure(unseen: Answered, first: Judged, goals: Goals, limits: Evaluate, folder: Path) -> Part:
    """Writes lists.csv, lists.png and beyond_accuracy.png. first: the first baskets after the cut."""
    weekly, catalogue = unseen.judged, unseen.past.catalogue
    more, of_days = beyond_accuracy.of_questions(unseen), beyond_accuracy.of_days(unseen)
    table = judging.table(weekly, catalogue, limits, more)
    first_table = judging.table(first, catalogue, limits, {})
    gain, gain_interval = judging.gain(weekly, limits)
    new, new_interval = judging.new_recall(first, limits)
    weekly_new, weekly_new_interval = judging.new_recall(weekly, limits)
    own = table[NETWORK]
    best, best_interval = own["recall_at_20"]
    _write(table, of_days, folder)
    beyond_accuracy.draw(table, of_days, folder / "beyond_accuracy.png")
    return Part(
        metrics={
            **{name: own[name][0] for name in HEADLINES},
            "first_basket_recall_at_20": first_table[NETWORK]["recall_at_20"][0],
            "gain_over_baseline": gain,
            "baseline_recall_at_20": table[baselines.TIFU_KNN]["recall_at_20"][0],
            "novel_recall_at_20": new,
            "weekly_novel_recall_at_20": weekly_new,
            "catalogue_coverage": of_days[NETWORK]["coverage"],
        },
        intervals={
            **{name: own[name][1] for name in HEADLINES},
            "first_basket_recall_at_20": first_table[NETWORK]["recall_at_20"][1],
            "gain_over_baseline": gain_interval,
            "novel_recall_at_20": new_interval,
            "weekly_novel_recall_at_20": weekly_new_interval,
        },
        gates=(
            Gate("gain_over_baseline_low", gain_interval[0], "at least", goals.gain_over_baseline_min,
                 "training", f"the network does not beat {baselines.TIFU_KNN}; serve that, or train better.",
                 gain_interval),
            Gate("recall_at_20", best, "at least", goals.recall_at_20_min, "training",
                 "train longer or on more questions; see evaluation/lists.csv.", best_interval),
            Gate("novel_recall_at_20", new, "at least", goals.novel_recall_at_20_min, "training",
                 "give new products more weight (train.new_weight) or more candidates.", new_interval),
        ),
        details={
            "questions": len(weekly),
            "customers": len(np.unique(weekly.customers)),
            "weekly": _plain(table),
            "lists_of_a_day": of_days,
            "popularity": beyond_accuracy.popularity_bias(unseen, more[NETWORK]["popularity_at_20"], limits),
            "first_basket": {"questions": len(first), "lists": _plain(first_table)},
            "new_and_repeated": judging.new_and_repeated(weekly, catalogue),
        },
    )  # fmt: skip


def _plain(table: Table) -> dict[str, dict[str, list[float]]]:
    return {
        name: {metric: [mean, *interval] for metric, (mean, interval) in values.items()}
        for name, values in table.items()
    }


def _write(table: Table, of_days: Mapping[str, Mapping[str, float]], folder: Path) -> None:
    metrics, others = list(table[NETWORK]), list(of_days[NETWORK])
    with (folder / "lists.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        ends = ("", "_low", "_high")
        writer.writerow(["list", *(f"{metric}{end}" for metric in metrics for end in ends), *others])
        for name, values in table.items():
            figures = [figure for metric in metrics for figure in (values[metric][0], *values[metric][1])]
            figures += [of_days[name][figure] for figure in others]
            writer.writerow([name, *(f"{figure:.5f}" for figure in figures)])
    recalls = {name: values["recall_at_20"] for name, values in table.items()}
    pictures.intervals(recalls, "recall at 20, unseen weeks", folder / "lists.png")
