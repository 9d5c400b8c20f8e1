"""Recall of groups of customers: named ones, and those that a shallow tree finds where validation went badly.

A slice is judged when it is large enough. It is evidently below its floor when the upper end of an interval
lies below it that is so wide that, were all slices at the floor, one in twenty evaluations would call any of
them out (Bonferroni 1936 over all judged slices, one-sided). Standard errors count a customer's questions
together.
"""

import csv
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import pictures
from pipeline.core.gates import Gate
from pipeline.core.statistics import Z95, cluster_robust_mean
from pipeline.tasks.recommendation.data.dataset import CODES
from pipeline.tasks.recommendation.data.item_tables import WEEK
from pipeline.tasks.recommendation.learning import baselines
from pipeline.tasks.recommendation.learning.examples import Past
from pipeline.tasks.recommendation.learning.judging import NETWORK, Judged
from pipeline.tasks.recommendation.parameters import Slices
from pipeline.tasks.recommendation.testing import properties
from pipeline.tasks.recommendation.testing.wanted import Answered, Wanted
from pipeline.testing.evaluation import Part

ALL = "all"
MISTAKEN = 0.05  # chance that any slice is called out though all are at the floor
DRAWN = 30  # rows of the picture, the lowest
LINE = 60  # characters of a name before it is broken


def measure(unseen: Answered, validation: Answered, limits: Slices, folder: Path) -> Part:
    """Writes slices.csv and slices.png. validation: questions of before, on which the tree is fitted."""
    rows, confirmed = of_customers(unseen, validation, limits)
    _write(rows, limits, folder)
    _draw(rows, limits, folder / "slices.png")
    details = {"slices": rows, "found_slices": confirmed, "products": _of_all_products(unseen)}
    return Part(gates=(gate(rows, limits),), details=details)


def of_customers(
    unseen: Answered, validation: Answered, limits: Slices
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """One row a slice, all customers first; and whether the found ones are low again where they were low.

    Customers are described as of the day before which everything was known.
    """
    judged, past = unseen.judged, unseen.past
    customers, place = np.unique(judged.customers, return_inverse=True)
    described = properties.known(list(past.parts), past.catalogue, unseen.cut)
    found, in_validation = _found(validation, described, customers, limits)
    masks = {
        ALL: np.ones(len(customers), dtype=bool),
        **properties.named(described, past.catalogue, customers),
        **found,
    }
    recall, baseline = judged.recall(NETWORK), judged.recall(baselines.TIFU_KNN)
    rows = [_row(name, mask[place], judged.customers, recall, baseline) for name, mask in masks.items()]
    for row in rows:
        row["judged"] = row["slice"] != ALL and row["customers"] >= limits.customers_min
    # What is unknown of several attributes may be the very same customers.
    different = {masks[row["slice"]].tobytes() for row in rows if row["judged"]}
    chance = MISTAKEN / max(1, len(different))
    for row in rows:
        row["high_for_the_gate"] = row["recall_at_20"] + _one_sided(chance, row["customers"]) * row["error"]
    return rows, _confirmed(found, in_validation, place, judged.customers, recall)


def gate(rows: Sequence[Mapping[str, Any]], limits: Slices) -> Gate:
    judged = [row for row in rows if row["judged"]]
    lowest = min(judged, key=lambda row: row["high_for_the_gate"], default=None)
    return Gate(
        "slice_recall_at_20_high", lowest["high_for_the_gate"] if lowest else math.inf, "at least",
        limits.recall_at_20_min, "data",
        f"`{lowest['slice'] if lowest else ALL}` is evidently below its floor; see evaluation/slices.csv, "
        "bring more of such customers, or ask more questions of them in training.",
    )  # fmt: skip


def _row(
    name: str, mask: np.ndarray, customers: np.ndarray, recall: np.ndarray, baseline: np.ndarray
) -> dict[str, Any]:
    """mask: bool (B,) of questions"""
    mean, error = cluster_robust_mean(recall[mask], customers[mask])
    error = min(error, 1.0)
    return {
        "slice": name,
        "customers": len(np.unique(customers[mask])),
        "questions": int(mask.sum()),
        "recall_at_20": mean,
        "interval": [max(mean - Z95 * error, 0.0), min(mean + Z95 * error, 1.0)],  # of the figure before it
        "error": error,
        baselines.TIFU_KNN: float(baseline[mask].mean()),
    }


def _one_sided(share: float, customers: int) -> float:
    """Standard errors, found from so few customers, above which so small a share lies (Student 1908)."""
    from scipy.special import stdtrit

    return float(stdtrit(max(customers - 1, 1), 1 - share))


def _found(
    validation: Answered, described: properties.Customers, customers: np.ndarray, limits: Slices
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Slices by a tree over what was known of the customers of validation, worst first: bool (N,) of
    `customers` each; and what recall each had in validation."""
    from sklearn.tree import DecisionTreeRegressor

    past, judged = validation.past, validation.judged
    then = properties.known(list(past.parts), past.catalogue, validation.cut)
    names, known = properties.table(then, past.catalogue, judged.customers)
    tree = DecisionTreeRegressor(
        max_leaf_nodes=limits.leaves, min_samples_leaf=min(limits.customers_min, len(known)), random_state=0
    )
    recall = judged.recall(NETWORK)
    tree.fit(known, recall)
    leaves = tree.apply(known)
    _, now = properties.table(described, past.catalogue, customers)
    of_customers = tree.apply(now)
    found: dict[str, np.ndarray] = {}
    before: dict[str, float] = {}
    by_recall = sorted(np.unique(leaves).tolist(), key=lambda leaf: float(recall[leaves == leaf].mean()))
    for leaf in by_recall:
        name = f"found: {_path(tree, leaf, names)}"
        if (of_customers == leaf).any():
            found[name], before[name] = of_customers == leaf, float(recall[leaves == leaf].mean())
    return found, before


def _path(tree: Any, leaf: int, names: Sequence[str]) -> str:
    """The conditions on the way to a leaf, in words."""
    left, right = tree.tree_.children_left, tree.tree_.children_right
    above = {child: (node, side) for side, children in (("below", left), ("from", right))
             for node, child in enumerate(children) if child >= 0}  # fmt: skip
    told = []
    while leaf in above:
        leaf, side = above[leaf]
        name, bound = names[tree.tree_.feature[leaf]], tree.tree_.threshold[leaf]
        if " is " in name:
            told.append(name if side == "from" else name.replace(" is ", " is not "))
        else:
            told.append(f"{name} {side} {bound:.3g}")
    return ", ".join(told[::-1]) or "everybody"


def _confirmed(
    found: Mapping[str, np.ndarray],
    in_validation: Mapping[str, float],
    place: np.ndarray,
    customers: np.ndarray,
    recall: np.ndarray,
) -> list[dict[str, Any]]:
    """Whether what is low in validation is low again: the slice against all others, both unseen."""
    rows = []
    overall = float(np.mean(list(in_validation.values()))) if in_validation else 0.0
    for name, mask in found.items():
        inside = mask[place]
        if inside.all():
            continue
        (of_slice, error), (of_rest, rest_error) = (
            cluster_robust_mean(recall[which], customers[which]) for which in (inside, ~inside)
        )
        difference, half = of_slice - of_rest, Z95 * min(math.hypot(error, rest_error), 1.0)
        low_before = in_validation[name] < overall
        rows.append(
            {
                "slice": name,
                "validation_recall_at_20": in_validation[name],
                "recall_at_20": of_slice,
                "difference_to_others": difference,
                "interval": [difference - half, difference + half],
                "confirmed": bool(difference + half < 0 if low_before else difference - half > 0),
            }
        )
    return rows


def _write(rows: Sequence[Mapping[str, Any]], limits: Slices, folder: Path) -> None:
    with (folder / "slices.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["slice", "customers", "questions", "recall_at_20", "low", "high", baselines.TIFU_KNN, "judged",
             "high_for_the_gate", "floor"]
        )  # fmt: skip
        for row in rows:
            figures = (row["recall_at_20"], *row["interval"], row[baselines.TIFU_KNN])
            writer.writerow(
                [row["slice"], row["customers"], row["questions"], *(f"{figure:.5f}" for figure in figures),
                 "yes" if row["judged"] else "too small", f"{row['high_for_the_gate']:.5f}",
                 limits.recall_at_20_min]
            )  # fmt: skip


def _draw(rows: Sequence[Mapping[str, Any]], limits: Slices, path: Path) -> None:
    everybody, *others = rows
    lowest = sorted((row for row in others if row["judged"]), key=lambda row: row["recall_at_20"])[:DRAWN]
    fig = pictures.figure(8.5, 0.26 * len(lowest) + 1.4)
    ax = fig.subplots()
    for place, row in enumerate(lowest[::-1]):
        ax.plot(row["interval"], [place, place], color=pictures.ACCENT, lw=2)
        ax.plot(row["recall_at_20"], place, "o", color=pictures.ACCENT, ms=4)
        ax.plot(row[baselines.TIFU_KNN], place, "|", color="black", ms=7)
    ax.axvline(everybody["recall_at_20"], color="grey", lw=1, label="all customers")
    ax.axvline(limits.recall_at_20_min, color="#dc2626", ls="--", label="floor of the gate")
    ax.plot([], [], "|", color="black", ms=7, label=baselines.TIFU_KNN)
    ax.set_yticks(
        range(len(lowest)),
        [textwrap.fill(f"{row['slice']} ({row['customers']})", LINE) for row in lowest[::-1]],
        fontsize=7,
    )
    ax.set(xlabel="recall at 20, with its 95 % interval (customers in brackets)")
    ax.grid(alpha=0.3, axis="x")
    fig.legend(fontsize=8, ncols=3, loc="outside lower center")
    fig.savefig(path)


def _of_all_products(unseen: Answered) -> list[dict[str, Any]]:
    """Share of the wanted products that the list of 20 held, by what the products are: promoted in the week
    or not, bought before or new, how many customers had bought them by the cut, their department."""
    came, judged, past, bought_by = unseen.came, unseen.judged, unseen.past, unseen.bought_by
    promoted = np.zeros(len(came.product), dtype=bool)
    for day in np.unique(judged.days):
        shown = _promoted(past, int(day))
        of_day = judged.days[came.question] == day
        promoted[of_day] = shown[came.product[of_day]]
    falling = np.sort(bought_by)[::-1]
    running = np.cumsum(falling) / falling.sum()
    best, middle = falling[np.searchsorted(running, [1 / 3, 2 / 3])]
    own = bought_by[came.product]
    departments = past.catalogue.codes[came.product, CODES.index("department")]
    names = past.catalogue.vocabularies["department"]
    masks = {
        "promoted in the week": promoted,
        "not promoted": ~promoted,
        "bought before by the customer": came.bought,
        "new to the customer": ~came.bought,
        "popular: a third of what customers have": own >= best,
        "less popular: the next third": (own < best) & (own >= middle),
        "rare: the last third": own < middle,
    }
    masks |= {
        f"department {names[code] or 'unknown'}": departments == code for code in np.unique(departments)
    }
    return [_of_products(name, mask, came, judged) for name, mask in masks.items() if mask.any()]


def _of_products(name: str, mask: np.ndarray, came: Wanted, judged: Judged) -> dict[str, Any]:
    mean, error = cluster_robust_mean(came.found[mask].astype(float), judged.customers[came.question[mask]])
    half = Z95 * min(error, 1.0)
    return {
        "products": name,
        "wanted": int(mask.sum()),
        "found_share": mean,
        "interval": [max(mean - half, 0.0), min(mean + half, 1.0)],
    }


def _promoted(past: Past, day: int) -> np.ndarray:
    """bool (P,): in the week in which the day lies."""
    found = np.zeros(len(past.catalogue.product_ids), dtype=bool)
    for part in past.parts:
        weeks = part.promotions
        now = (weeks.start <= day) & (weeks.start > day - WEEK)
        found[weeks.product[now & ((weeks.display > 0) | (weeks.mailer > 0))]] = True
    return found
