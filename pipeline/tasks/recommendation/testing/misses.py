"""Where the recall that is missing went, and the questions that went worst, with all that shows why.

The budget is exact: its parts add up to what recall at 20 lacks to 1. Each is what the best possible list
would lose next: a list of 20 cannot hold a larger basket; nobody could know what had never been sold; what
was not among the candidates could not be ranked; the rest was ranked too low.
"""

import csv
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from pipeline.core import pictures
from pipeline.core.statistics import clustered_means
from pipeline.tasks.recommendation.data.dataset import Catalogue
from pipeline.tasks.recommendation.learning.examples import Past
from pipeline.tasks.recommendation.learning.judging import LONG, NETWORK, Judged
from pipeline.tasks.recommendation.parameters import Evaluate
from pipeline.tasks.recommendation.testing.wanted import Answered, Wanted
from pipeline.testing.evaluation import Part

LOSSES = {
    "list_too_short": "basket larger than the list",
    "never_sold": "never sold before",
    "no_candidate": "not among the candidates",
    "ranked_low": f"ranked below {LONG}",
}
EPOCH = date(1970, 1, 1)
SHOWN = 10  # products of a customer's history that the table of the worst names


def measure(unseen: Answered, limits: Evaluate, folder: Path) -> Part:
    """Writes losses.png, misses.csv and worst.csv; the parts of what recall at 20 lacks, with intervals."""
    judged, came = unseen.judged, unseen.came
    means = clustered_means(lost(judged, came), judged.customers, draws=limits.draws, seed=limits.seed)
    parts = dict(zip(LOSSES, means, strict=True))
    _write(came, folder)
    _worst(unseen, limits, folder)
    shown = {said: parts[name] for name, said in LOSSES.items()}
    pictures.intervals(
        shown, "share of the wanted products that is lost, mean of all questions", folder / "losses.png"
    )
    found = {name: {"recall_lost": mean, "interval": interval} for name, (mean, interval) in parts.items()}
    return Part(details={"losses": found})


def lost(judged: Judged, came: Wanted) -> np.ndarray:
    """float64 (4, B): the parts of what the recall of each question lacks, in the order of LOSSES."""
    size = len(judged)
    count = np.maximum(judged.wanted, 1)
    sold = np.bincount(came.question, came.sold, size)
    candidates = np.bincount(came.question, came.rank >= 0, size)
    found = np.bincount(came.question, came.found, size)
    steps = np.stack(
        [count, np.minimum(count, LONG), np.minimum(sold, LONG), np.minimum(candidates, LONG), found]
    )
    return -np.diff(steps / count, axis=0)


def _write(came: Wanted, folder: Path) -> None:
    """misses.csv: all products that came, by what became of them and by whether they were new."""
    became = np.select(
        [came.found, came.rank >= 0, came.sold], ["found", LOSSES["ranked_low"], LOSSES["no_candidate"]],
        default=LOSSES["never_sold"],
    )  # fmt: skip
    with (folder / "misses.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["what_became_of_it", "bought_before", "products", "share", "median_rank"])
        for name in ("found", LOSSES["ranked_low"], LOSSES["no_candidate"], LOSSES["never_sold"]):
            for bought in (True, False):
                rows = (became == name) & (came.bought == bought)
                ranked = came.rank[rows & (came.rank >= 0)]
                rank = int(np.median(ranked)) + 1 if len(ranked) else ""
                share = f"{rows.mean():.5f}"
                writer.writerow([name, "yes" if bought else "no", int(rows.sum()), share, rank])


def _worst(unseen: Answered, limits: Evaluate, folder: Path) -> None:
    """Writes worst.csv: of the largest baskets with the fewest products found, all that shows why."""
    judged, came, past = unseen.judged, unseen.came, unseen.past
    size = len(judged)
    found = np.bincount(came.question, came.found, size)
    chosen = np.lexsort((-judged.before, -judged.wanted, found))[: limits.worst]
    counts = {
        "found": came.found,
        "ranked_low": (came.rank >= 0) & ~came.found,
        "no_candidate": (came.rank < 0) & came.sold,
        "never_sold": ~came.sold,
        "never_bought_before": ~came.bought,
    }
    of_each = {name: np.bincount(came.question, which, size).astype(int) for name, which in counts.items()}
    with (folder / "worst.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["customer_id", "asked_on", "baskets_before", "days_since_basket", "products_wanted", *counts,
             "most_bought", "newest_basket", "shown", "came"]
        )  # fmt: skip
        for i in chosen.tolist():
            since, most_bought, newest = _history(judged, past, i)
            writer.writerow(
                [
                    past.catalogue.customer_ids[judged.customers[i]],
                    (EPOCH + timedelta(days=int(judged.days[i]))).isoformat(),
                    judged.before[i],
                    since,
                    judged.wanted[i],
                    *(of_each[name][i] for name in counts),
                    most_bought,
                    newest,
                    _named(past.catalogue, judged.lists[NETWORK][i]),
                    _fates(past.catalogue, came, i),
                ]
            )


def _history(judged: Judged, past: Past, i: int) -> tuple[int | str, str, str]:
    """Days since the newest basket, the products bought most often, and that basket."""
    day = int(judged.days[i])
    rows = past.histories.rows(judged.customers[i : i + 1], past.histories.ends(day))
    if not len(rows.product):
        return "", "", ""
    products, often = np.unique(rows.product, return_counts=True)
    best = np.argsort(-often, kind="stable")[:SHOWN]
    most = [
        f"{past.catalogue.names[product]} ({n})"
        for product, n in zip(products[best], often[best], strict=True)
    ]
    newest = rows.product[rows.ordinal == rows.ordinal[-1]][:SHOWN]
    return day - int(rows.day[-1]), "; ".join(most), _named(past.catalogue, newest)


def _named(catalogue: Catalogue, products: np.ndarray) -> str:
    return "; ".join(catalogue.names[product] for product in products.tolist() if product >= 0)


def _fates(catalogue: Catalogue, came: Wanted, i: int) -> str:
    """Each product that came, with its rank or why it had none."""
    told = []
    for row in np.flatnonzero(came.question == i).tolist():
        why = "no candidate" if came.sold[row] else "never sold before"
        rank = f"rank {came.rank[row] + 1}" if came.rank[row] >= 0 else why
        new = "" if came.bought[row] else ", new to the customer"
        told.append(f"{catalogue.names[came.product[row]]} ({rank}{new})")
    return "; ".join(told)
