"""What a score is worth: how often products of that score are bought, and how right lists are that look sure.

A score is no probability: the network learns the shares of the next basket over its candidates (a softmax,
ListNet's), so only differences within one list mean something. The share can be turned into a probability of
purchase by a logistic curve in the logarithms of the share and of the customer's usual basket (Platt 1999),
fitted on questions of validation alone. Bounds of bins and of confidence come from there too.

Calibration error: mean over bins of equal size of |mean probability - share bought| (Naeini et al. 2015);
Brier score: mean squared difference (Brier 1950), against that of giving every candidate the same
probability. A list's confidence is the share of the next basket that the network expects in its 20 products;
recall of the most confident part is selective prediction (El-Yaniv and Wiener 2010; Geifman and El-Yaniv
2017).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import pictures
from pipeline.core.statistics import Z95, cluster_robust_mean, clustered_means
from pipeline.tasks.recommendation.learning import baselines
from pipeline.tasks.recommendation.learning.judging import LONG, NETWORK, Judged
from pipeline.tasks.recommendation.parameters import Evaluate
from pipeline.tasks.recommendation.testing.wanted import Answered, Owned
from pipeline.testing.evaluation import Part

BINS = 10
# Most candidates have next to no share: the bins of scores are finer where it matters.
LEVELS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)
COVERAGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
LEAST_SHARE = 1e-9


@dataclass(frozen=True)
class Pairs:
    """One row a question and candidate, (N,) each: what the network made of it, and whether it was bought.

    question: int64; share: float64, of the question's next basket; size: float64, products in a basket of the
    customer; bought: bool
    """

    question: np.ndarray
    share: np.ndarray
    size: np.ndarray
    bought: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """float64 (N, 2): what the logistic curve reads."""
        return np.stack(
            [np.log(np.maximum(self.share, LEAST_SHARE)), np.log(np.maximum(self.size, 1))], axis=1
        )


def shares(judged: Judged) -> np.ndarray:
    """float64 (B, C): of the next basket, as the network expects it; 0 where there is no candidate."""
    scores = judged.scores.astype(np.float64)
    raised = np.exp(scores - scores.max(axis=1, keepdims=True)) * (judged.products >= 0)
    return raised / np.maximum(raised.sum(axis=1, keepdims=True), LEAST_SHARE)


def pairs(judged: Judged, own: Owned) -> Pairs:
    there = judged.products >= 0
    question = np.broadcast_to(np.arange(len(judged))[:, None], there.shape)[there]
    size = own.lines / np.maximum(judged.before, 1)
    return Pairs(question, shares(judged)[there], size[question], judged.relevant[there])


def measure(unseen: Answered, validation: Answered, limits: Evaluate, folder: Path) -> Part:
    """Writes reliability.png and confidence.png."""
    judged = unseen.judged
    seen, fitted_on = pairs(judged, unseen.own), pairs(validation.judged, validation.own)
    by_share = _by_share(seen, fitted_on, judged)
    probability, before = _fitted(fitted_on, seen)
    calibration, bins = _calibration(probability, before, seen, judged, limits)
    sure = selective(judged, validation.judged, limits)
    _draw_reliability(by_share, bins, folder / "reliability.png")
    _draw_confidence(sure, folder / "confidence.png")
    details = {"scores": by_share, "as_probabilities": calibration | {"bins": bins}, "confidence": sure}
    return Part(
        metrics={"calibration_error": calibration["calibration_error"]},
        intervals={"calibration_error": calibration["calibration_error_interval"]},
        details={"reliability": details},
    )


def _by_share(seen: Pairs, fitted_on: Pairs, judged: Judged) -> dict[str, Any]:
    """How often candidates were bought, by bins of the share that the network gave them."""
    bounds = np.unique(np.quantile(fitted_on.share, LEVELS))
    bins = np.searchsorted(bounds, seen.share, side="right")
    rows: list[dict[str, Any]] = []
    for i in np.unique(bins):
        inside = bins == i
        bought, error = cluster_robust_mean(
            seen.bought[inside].astype(float), judged.customers[seen.question[inside]]
        )
        rows.append(
            {
                "share": float(seen.share[inside].mean()),
                "candidates": int(inside.sum()),
                "bought": bought,
                "interval": [max(bought - Z95 * min(error, 1), 0.0), min(bought + Z95 * min(error, 1), 1.0)],
            }
        )
    # A bin falls when its interval lies below that of the bin before; overlapping ones may be chance.
    falls = sum(after["interval"][1] < before["interval"][0] for before, after in pairwise(rows))
    return {"bins": rows, "bins_that_fall": falls, "is_a_probability": False}


def _fitted(fitted_on: Pairs, seen: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities by the logistic curve: of the unseen pairs, and of those that it was fitted on."""
    from sklearn.linear_model import LogisticRegression

    # The penalty is next to none: three figures are fitted to a hundred thousand pairs.
    curve = LogisticRegression(C=1e6).fit(fitted_on.known, fitted_on.bought)
    return curve.predict_proba(seen.known)[:, 1], curve.predict_proba(fitted_on.known)[:, 1]


def _calibration(
    probability: np.ndarray, before: np.ndarray, seen: Pairs, judged: Judged, limits: Evaluate
) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """before: probabilities in validation, which the bounds of the bins come from."""
    bounds = np.quantile(before, np.arange(1, BINS) / BINS)
    bins = np.searchsorted(bounds, probability, side="right")
    _, customer = np.unique(judged.customers, return_inverse=True)
    customer, customers = customer[seen.question], int(customer.max()) + 1
    cell, cells = customer * BINS + bins, customers * BINS
    # Of each customer and bin: how many, the probability and what was bought, so that draws are cheap.
    sums = np.stack(
        [
            np.bincount(cell, weights, cells).reshape(customers, BINS)
            for weights in (None, probability, seen.bought)
        ]
    )
    base = seen.bought.mean()
    squares = np.stack(
        [
            np.bincount(customer, (p - seen.bought) ** 2, customers)
            for p in (probability, np.full(len(bins), base))
        ]
    )
    rng = np.random.default_rng(limits.seed)
    drawn = np.array(
        [
            _figures(np.bincount(rng.integers(0, customers, customers), minlength=customers), sums, squares)
            for _ in range(limits.draws)
        ]
    )
    error, brier, skill = _figures(np.ones(customers), sums, squares)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0).tolist()
    count, expected, bought = sums.sum(axis=1)
    rows = [
        {"probability": float(expected[i] / count[i]), "bought": float(bought[i] / count[i]),
         "candidates": int(count[i])}
        for i in range(BINS) if count[i]
    ]  # fmt: skip
    return {
        "calibration_error": error,
        "calibration_error_interval": (low[0], high[0]),
        "expected_over_bought": float(expected.sum() / max(bought.sum(), 1)),
        "brier": brier,
        "brier_interval": (low[1], high[1]),
        "brier_skill": skill,
        "brier_skill_interval": (low[2], high[2]),
    }, rows


def _figures(weight: np.ndarray, sums: np.ndarray, squares: np.ndarray) -> tuple[float, float, float]:
    """Calibration error, Brier score, and the share by which it is below that of one probability for all."""
    count, expected, bought = weight @ sums
    own, base = squares @ weight
    total = count.sum()
    return (
        float(np.abs(expected - bought).sum() / total),
        float(own / total),
        float(1 - own / max(base, LEAST_SHARE)),
    )


def confidence_of(judged: Judged) -> np.ndarray:
    """float64 (B,): share of the next basket expected in the list of 20."""
    return -np.sort(-shares(judged), axis=1)[:, :LONG].sum(axis=1)


def selective(judged: Judged, validation: Judged, limits: Evaluate) -> dict[str, Any]:
    confidence, before = confidence_of(judged), confidence_of(validation)
    recall, other = judged.recall(NETWORK), judged.recall(baselines.TIFU_KNN)
    rows: list[dict[str, Any]] = []
    for coverage in COVERAGES:
        least = np.quantile(before, 1 - coverage) if coverage < 1 else -np.inf
        kept = confidence >= least
        if not kept.any():
            continue
        (of_kept,) = clustered_means(
            recall[None, kept], judged.customers[kept], draws=limits.draws, seed=limits.seed
        )
        rows.append(
            {
                "asked_for": coverage,
                "coverage": float(kept.mean()),
                "recall_at_20": of_kept[0],
                "interval": of_kept[1],
                "of_all_recall_at_20": float(np.where(kept, recall, other).mean()),
            }
        )
    return {
        "expected_share_of_candidates": float(confidence.mean()),
        "found_share_of_candidates": _found_of_candidates(judged),
        "rank_correlation": _rank_correlation(confidence, recall),
        "curve": rows,
    }


def _found_of_candidates(judged: Judged) -> float:
    """Of the products that came and were candidates, the share in the list of 20; mean of the questions with
    any."""
    order = np.argsort(-judged.scores, axis=1, kind="stable")[:, :LONG]
    found = np.take_along_axis(judged.relevant, order, axis=1).sum(axis=1)
    candidates = judged.relevant.sum(axis=1)
    return float((found[candidates > 0] / candidates[candidates > 0]).mean())


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's; 0 where one of them is always the same."""
    from scipy.stats import rankdata

    ranks = np.stack([rankdata(first), rankdata(second)])
    return float(np.corrcoef(ranks)[0, 1]) if (ranks.std(axis=1) > 0).all() else 0.0


def _draw_reliability(by_share: Mapping[str, Any], bins: list[dict[str, float]], path: Path) -> None:
    fig = pictures.figure(9, 3.8)
    left, right = fig.subplots(1, 2)
    rows = by_share["bins"]
    share, bought = (np.array([row[name] for row in rows]) for name in ("share", "bought"))
    low, high = np.array([row["interval"] for row in rows]).T
    left.errorbar(share, bought, [bought - low, high - bought], fmt="o-", color=pictures.ACCENT, ms=4, lw=1)
    left.set(
        xscale="log", yscale="log", xlabel="share of the next basket that the score stands for",
        ylabel="share of candidates bought", title="The score, as it is",
    )  # fmt: skip
    expected, came = (np.array([row[name] for row in bins]) for name in ("probability", "bought"))
    least = max(min(expected.min(), came[came > 0].min(initial=1.0)), 1e-6)
    right.plot([least, 1], [least, 1], color="grey", lw=1, label="exact")
    right.plot(expected, came, "o-", color=pictures.ACCENT, ms=4, lw=1, label="candidates, in ten parts")
    right.set(
        xscale="log", yscale="log", xlabel="probability by the curve of validation",
        ylabel="share of candidates bought",        title="Read as a probability",
    )  # fmt: skip
    right.legend(fontsize=8)
    for ax in (left, right):
        ax.grid(alpha=0.3)
    fig.savefig(path)


def _draw_confidence(confidence: Mapping[str, Any], path: Path) -> None:
    rows = confidence["curve"]
    coverage = [row["coverage"] for row in rows]
    low, high = np.array([row["interval"] for row in rows]).T
    fig = pictures.figure(7, 4)
    ax = fig.subplots()
    ax.fill_between(coverage, low, high, color=pictures.ACCENT, alpha=0.15, label="95 % interval")
    ax.plot(coverage, [row["recall_at_20"] for row in rows], "o-", color=pictures.ACCENT, ms=4,
            label="of those whom the network answers")  # fmt: skip
    ax.plot(coverage, [row["of_all_recall_at_20"] for row in rows], "s--", color="black", ms=3,
            label=f"of all, the others answered by {baselines.TIFU_KNN}")  # fmt: skip
    ax.set(
        xlabel="share of questions answered by the network, the most confident first", ylabel="recall at 20"
    )
    ax.legend(fontsize=8)
    ax.grid(alpha=0.3)
    fig.savefig(path)
