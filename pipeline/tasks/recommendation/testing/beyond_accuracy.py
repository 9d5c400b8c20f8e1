"""What lists are like beside being right: varied, surprising, drawn from all of the catalogue, or not.

For each question, float64 (B,), of its list of 20:
- repeats: share that the customer had bought before
- novelty: mean of -log2 of the share of customers who had bought the product, self-information in bits (Zhou
  et al. 2010; Castells, Hurley and Vargas 2015)
- diversity: share of the pairs of products that differ in type (intra-list diversity, Smyth and McClave 2001)
- popularity: mean share of customers who had bought the product (average recommendation popularity, Yin et
  al. 2012)

Of all lists of a day together, the mean of the days:
- coverage: share of the products sold before that stand in any list (Ge, Delgado-Battenfeld, Jannach 2010)
- gini: of how often those products are listed, 0 all alike, 1 one product alone (Fleder and Hosanagar 2009)
- personalisation: 1 - share of products that the lists of two customers have in common (Zhou et al. 2010)
They have no interval: customers drawn again cover fewer products than they did.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import pictures
from pipeline.core.statistics import clustered_means
from pipeline.tasks.recommendation.data.dataset import CODES
from pipeline.tasks.recommendation.learning.judging import NETWORK, Table
from pipeline.tasks.recommendation.parameters import Evaluate
from pipeline.tasks.recommendation.testing.wanted import Answered, Owned, first_sold


def of_questions(unseen: Answered) -> dict[str, dict[str, np.ndarray]]:
    """List -> figure -> one value a question."""
    types = unseen.past.catalogue.codes[:, CODES.index("type")]
    return {
        name: of_lists(made, unseen.own, types, unseen.bought_by)
        for name, made in unseen.judged.lists.items()
    }


def of_lists(made: np.ndarray, own: Owned, types: np.ndarray, bought_by: np.ndarray) -> dict[str, np.ndarray]:
    there, size = made >= 0, np.maximum((made >= 0).sum(axis=1), 1)
    kinds = np.where(there, types[made], -1)
    order = np.sort(kinds, axis=1)
    # Of n products of a type n (n - 1) / 2 pairs are alike: each adds how many of its type came before.
    alike = np.zeros(len(made))
    run = np.zeros(len(made))
    for place in range(1, made.shape[1]):
        same = (order[:, place] == order[:, place - 1]) & (order[:, place] >= 0)
        run = np.where(same, run + 1, 0)
        alike += run
    pairs = np.maximum(size * (size - 1) / 2, 1)
    shares = bought_by[made]
    return {
        "repeats_at_20": (own.holds(np.arange(len(made))[:, None], made) & there).sum(axis=1) / size,
        "novelty_at_20": (-np.log2(shares) * there).sum(axis=1) / size,
        "diversity_at_20": 1 - alike / pairs,
        "popularity_at_20": (shares * there).sum(axis=1) / size,
    }


def of_days(unseen: Answered) -> dict[str, dict[str, float]]:
    """List -> figure of all its lists of a day together, mean of the days."""
    first, judged = first_sold(unseen.past), unseen.judged
    found = {}
    for name, made in judged.lists.items():
        days = [of_day(made[judged.days == day], first < day) for day in np.unique(judged.days)]
        found[name] = {figure: float(np.mean([of_day[figure] for of_day in days])) for figure in days[0]}
    return found


def of_day(made: np.ndarray, sold: np.ndarray) -> dict[str, float]:
    listed = np.bincount(made[made >= 0], minlength=len(sold)).astype(float)
    of_sold = np.sort(listed[sold])
    n, lists = len(of_sold), len(made)
    place = np.arange(1, n + 1)
    pairs = lists * (lists - 1)
    length = np.maximum((made >= 0).sum(axis=1).mean(), 1)
    common = (listed * (listed - 1)).sum() / max(pairs, 1) / length
    return {
        "coverage": float((of_sold > 0).mean()),
        "gini": float(((2 * place - n - 1) * of_sold).sum() / max(n * of_sold.sum(), 1)),
        "personalisation": float(1 - common),
    }


def popularity_bias(unseen: Answered, listed: np.ndarray, limits: Evaluate) -> dict[str, Any]:
    """How popular what is listed is, against what the customers buy: lift above 0 where lists are more
    popular than their customers' own histories (Abdollahpouri et al. 2020).

    listed: float64 (B,), popularity of each of the network's lists
    """
    judged, own, bought_by = unseen.judged, unseen.own, unseen.bought_by
    question = own.keys // own.products
    there = np.bincount(question, minlength=len(judged))
    history = np.bincount(question, bought_by[own.keys % own.products], len(judged)) / np.maximum(there, 1)
    basket = np.array([bought_by[each].mean() for each in judged.baskets])
    known = there > 0
    figures = np.stack([listed, history, basket])[:, known]
    means = clustered_means(figures, judged.customers[known], draws=limits.draws, seed=limits.seed)
    of_lists, of_history, of_baskets = (mean for mean, _ in means)
    return {
        "of_lists": means[0],
        "of_histories": means[1],
        "of_baskets": means[2],
        "lift_over_histories": of_lists / of_history - 1,
        "lift_over_baskets": of_lists / of_baskets - 1,
    }


def draw(table: Table, days: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Recall against what else lists are like, one point a way of making them."""
    fig = pictures.figure(9, 3.4)
    axes = fig.subplots(1, 3, sharey=True)
    for ax, figure, label in zip(
        axes,
        ("novelty_at_20", "diversity_at_20", "coverage"),
        ("novelty, bits", "diversity: pairs of different types", "coverage of what is sold (log)"),
        strict=True,
    ):
        for place, (name, values) in enumerate(table.items()):
            x = days[name][figure] if figure in days[name] else values[figure][0]
            marker, colour = ("*", pictures.ACCENT) if name == NETWORK else ("o", f"C{place + 1}")
            ax.plot(
                x,
                values["recall_at_20"][0],
                marker,
                color=colour,
                ms=11 if name == NETWORK else 7,
                label=name,
            )
        ax.set(xlabel=label)
        ax.grid(alpha=0.3)
    axes[2].set(xscale="log")
    axes[0].set(ylabel="recall at 20")
    fig.legend(*axes[0].get_legend_handles_labels(), fontsize=8, ncols=len(table), loc="outside lower center")
    fig.savefig(path)
