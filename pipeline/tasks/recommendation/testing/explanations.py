"""Why a product stands where it stands, in words that a person understands.

Integrated gradients (Sundararajan, Taly and Yan 2017, arXiv:1703.01365; computed by Captum) share out by how
much a candidate's score lies above that of the average candidate, over the figures that the last layers read:
the features, what was looked up in the sequence of baskets, what the product is. Figures are added up in
groups.

Two checks can fail: the shares must add up to the difference that they explain (completeness), and mixing up
the group that counts most must cost more recall than mixing up the one that counts least.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core import pictures
from pipeline.core.gates import Gate
from pipeline.core.statistics import clustered_means
from pipeline.tasks.recommendation.data.dataset import Catalogue
from pipeline.tasks.recommendation.data.network import NO_CANDIDATE
from pipeline.tasks.recommendation.learning import examples, ranking
from pipeline.tasks.recommendation.learning.examples import Examples
from pipeline.tasks.recommendation.learning.judging import LONG
from pipeline.tasks.recommendation.parameters import Evaluate, Explanations
from pipeline.tasks.recommendation.testing.week import Week
from pipeline.testing.evaluation import Part

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.tasks.recommendation.learning.networks.ranker import Ranker

# Group in words -> the features of it (data/features.py), by name.
GROUPS: dict[str, tuple[str, ...]] = {
    "own purchases of the product": (
        "bought", "count", "share_of_baskets", "share_since_first", "decayed_0", "decayed_1", "decayed_2",
        "decayed_3", "log_decayed_1", "log_decayed_3", "by_basket_0", "by_basket_1", "pieces", "last_pieces",
        "frequency",
    ),
    "whether the product is due again": (
        "age", "lag", "gap", "gap_spread", "due", "due_baskets", "due_spread", "shrunk_gap", "shrunk_due",
        "item_due",
    ),
    "own purchases of its type": (
        "type_decayed_0", "type_decayed_1", "type_decayed_2", "type_count", "type_products", "type_age",
        "type_due", "category_decayed_0", "category_decayed_1", "category_decayed_2", "category_count",
        "category_products", "category_age", "share_of_own_type", "type_times_share", "own_or_expected",
    ),
    "popularity": (
        "popularity_0", "popularity_1", "popularity_2", "trend", "repeat_rate", "share_of_type", "item_gap",
        "sold_in_store",
    ),
    "promotion": (
        "display", "mailer", "display_before", "mailer_before", "discount", "recent_discount",
        "extra_discount",
    ),
    "price": ("price",),
    "the customer's habits": (
        "customer_baskets", "customer_size", "customer_since", "customer_gap", "customer_tenure",
        "customer_due", "customer_variety",
    ),
    "similar customers and products": ("similarity", "frequency_of_similar", "tifu"),
    "live basket": ("basket_products", "basket_lift", "basket_lift_mean", "basket_has_type"),
}  # fmt: skip
SEQUENCE, PRODUCT = "sequence of baskets", "what the product is"
STEPS = 32  # of the integral; more change nothing beyond rounding
TOGETHER = 8192  # rows that the network computes at once
CUSTOMERS_TOLD, PRODUCTS_TOLD, GROUPS_TOLD = 5, 3, 4


@dataclass(frozen=True)
class Read:
    """What the last layers read of each candidate: float32 (B, C, D); groups: name -> columns of it."""

    ranker: "Ranker"
    made: Examples
    known: "Tensor"
    groups: dict[str, np.ndarray]

    @cached_property
    def there(self) -> np.ndarray:
        """bool (B, C)"""
        return self.made.inputs.products >= 0

    def scores(self, known: "Tensor") -> np.ndarray:
        """float32 (B, C) of other figures in the same places."""
        import torch

        with torch.inference_mode():
            made = self.ranker.score(known).squeeze(-1).numpy()
        return np.where(self.there, made, np.float32(NO_CANDIDATE))


def read(ranker: "Ranker", week: Week, limits: Explanations) -> Read:
    """Of the questions of some customers."""
    import torch

    made = examples.at(week.past, week.day, week.some(limits.customers))
    kept: list[Tensor] = []
    hook = ranker.score.register_forward_pre_hook(lambda _, given: kept.append(given[0]))
    with torch.inference_mode():
        ranker(*(torch.from_numpy(array) for array in made.inputs.given(slice(None))))
    hook.remove()
    (known,) = kept
    return Read(ranker, made, known.clone(), columns(made.inputs.names, known.shape[-1]))


def columns(names: Sequence[str], width: int) -> dict[str, np.ndarray]:
    """names: of the features, which come first; then what was looked up in the baskets, then the product
    itself."""
    from pipeline.tasks.recommendation.learning.networks.ranker import LOOK_UP

    found = {group: np.array([names.index(name) for name in own]) for group, own in GROUPS.items()}
    return found | {
        SEQUENCE: np.arange(len(names), width - LOOK_UP),
        PRODUCT: np.arange(width - LOOK_UP, width),
    }


def measure(seen: Read, catalogue: Catalogue, limits: Evaluate, folder: Path) -> Part:
    """Writes explanations.png and explanations.csv."""
    scores = seen.scores(seen.known)
    listed = ranking.order(scores, LONG)
    question = np.repeat(np.arange(len(listed)), LONG)
    place = listed.ravel()
    real = seen.there[question, place]
    question, place = question[real], place[real]
    shares, error = _attributed(seen, question, place)
    names = list(seen.groups)
    size = np.abs(shares)
    relative = size / np.maximum(size.sum(axis=1, keepdims=True), 1e-9)
    customers = seen.made.customers[question]
    means = clustered_means(relative.T, customers, draws=limits.draws, seed=limits.seed)
    lost = _lost(seen, names, scores, limits)
    rows = [
        {"group": name, "mean_absolute_share": mean, "interval": interval,
         "recall_lost_when_mixed_up": lost[name][0], "recall_lost_interval": lost[name][1]}
        for name, (mean, interval) in zip(names, means, strict=True)
    ]  # fmt: skip
    rows.sort(key=lambda row: -row["mean_absolute_share"])
    _tell(seen, catalogue, question, place, shares, folder / "explanations.csv")
    _draw(rows, folder / "explanations.png")
    least: Explanations = limits.explanations
    apart = rows[0]["recall_lost_when_mixed_up"] - rows[-1]["recall_lost_when_mixed_up"]
    gates = (
        Gate("explanation_error", error, "at most", least.error_max, "testing",
             "the shares do not add up to the score that they explain; take more steps of the integral."),
        Gate("explained_groups_apart", apart, "at least", least.recall_apart_min, "testing",
             "mixing up what counts most costs no more than what counts least: explanations mislead."),
    )  # fmt: skip
    found = {"groups": rows, "completeness_error": error, "recall_apart": apart}
    return Part(gates=gates, details={"explanations": found})


def _attributed(seen: Read, question: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, float]:
    """float64 (N, G): what each group adds to the score of each listed candidate, above the average
    candidate; and the largest part of such a difference that the groups leave unexplained, over the mean
    difference."""
    import torch
    from captum.attr import IntegratedGradients

    chosen = seen.known[question, place].requires_grad_()
    average = seen.known[torch.from_numpy(seen.there)].mean(dim=0, keepdim=True)

    def score(known: "Tensor") -> "Tensor":
        return seen.ranker.score(known).squeeze(-1)

    attributed = IntegratedGradients(score).attribute(
        chosen, baselines=average, n_steps=STEPS, internal_batch_size=TOGETHER
    )
    with torch.inference_mode():
        explained = (score(chosen) - score(average)).double().numpy()
    values = attributed.detach().double().numpy()
    shares = np.stack([values[:, own].sum(axis=1) for own in seen.groups.values()], axis=1)
    error = np.abs(shares.sum(axis=1) - explained).max() / np.abs(explained).mean()
    return shares, float(error)


def _lost(
    seen: Read, names: Sequence[str], scores: np.ndarray, limits: Evaluate
) -> dict[str, tuple[float, Any]]:
    """Recall at 20 lost when the figures of a group are exchanged between candidates (Breiman 2001)."""
    import torch

    def recall(made: np.ndarray) -> np.ndarray:
        return ranking.recall(made, seen.made.relevant, seen.made.wanted, LONG)

    there = torch.from_numpy(seen.there)
    before, lost = recall(scores), []
    rng = np.random.default_rng(limits.seed)
    flat = seen.known[there]
    for name in names:
        own = torch.from_numpy(seen.groups[name])
        mixed = flat.clone()
        mixed[:, own] = flat[torch.from_numpy(rng.permutation(len(flat)))][:, own]
        known = seen.known.clone()
        known[there] = mixed
        lost.append(before - recall(seen.scores(known)))
    means = clustered_means(np.stack(lost), seen.made.customers, draws=limits.draws, seed=limits.seed)
    return dict(zip(names, means, strict=True))


def _tell(
    seen: Read, catalogue: Catalogue, question: np.ndarray, place: np.ndarray, shares: np.ndarray, path: Path
) -> None:
    """The first products of a few customers, with what each group adds, and in words."""
    names = list(seen.groups)
    asked = np.unique(np.linspace(0, len(seen.made) - 1, min(CUSTOMERS_TOLD, len(seen.made))).astype(int))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["customer_id", "rank", "product", "in_words", "above_average", *names])
        for i in asked.tolist():
            for rank, row in enumerate(np.flatnonzero(question == i)[:PRODUCTS_TOLD].tolist(), start=1):
                product = catalogue.names[seen.made.inputs.products[i, place[row]]]
                most = np.argsort(-np.abs(shares[row]))[:GROUPS_TOLD]
                words = ", ".join(f"{shares[row, group]:+.1f} {names[group]}" for group in most)
                writer.writerow(
                    [catalogue.customer_ids[seen.made.customers[i]], rank, product,
                     f"{product} stands on place {rank}: {words}", f"{shares[row].sum():.3f}",
                     *(f"{share:.3f}" for share in shares[row])]
                )  # fmt: skip


def _draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    fig = pictures.figure(9, 0.34 * len(rows) + 1.1)
    left, right = fig.subplots(1, 2, sharey=True)
    for ax, figure, interval, label in (
        (left, "mean_absolute_share", "interval", "mean share of the explanation"),
        (right, "recall_lost_when_mixed_up", "recall_lost_interval", "recall at 20 lost when mixed up"),
    ):
        for place, row in enumerate(rows[::-1]):
            ax.plot(row[interval], [place, place], color=pictures.ACCENT, lw=2)
            ax.plot(row[figure], place, "o", color=pictures.ACCENT, ms=4)
        ax.axvline(0, color="grey", lw=1)
        ax.set(xlabel=label)
        ax.grid(alpha=0.3, axis="x")
    left.set_yticks(range(len(rows)), [row["group"] for row in rows[::-1]], fontsize=8)
    fig.savefig(path)
