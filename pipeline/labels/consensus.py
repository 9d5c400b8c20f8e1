"""One label from those of several people: how far they agree, what they and a model say together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class Consensus:
    """labels: int64 (A,); quality: float64 (A,) in [0, 1], how probably each label is right;
    labels_per_item: int64 (A,), how many annotators labelled each item.

    Of each of the M annotators: items: int64 (M,), how many were labelled; agreement: float64 (M,), share of
    them with the consensus label; annotator_quality: float64 (M,) in [0, 1], NaN where nothing shows it.

    Of the items with several labels, NaN where there is none: alpha, Krippendorff's; model_accuracy: share of
    which the model finds the majority; annotators_agreement: share of their labels that are the majority's.
    """

    method: Literal["crowdlab", "majority", "single"]
    labels: np.ndarray
    quality: np.ndarray
    labels_per_item: np.ndarray
    items: np.ndarray
    agreement: np.ndarray
    annotator_quality: np.ndarray
    alpha: float
    model_accuracy: float
    annotators_agreement: float

    def told(self, annotators_per_item: int) -> dict[str, Any]:
        """For audit.json; None where there is no figure. annotators_per_item: what the policy wants"""
        told = {
            "method": self.method,
            "items": len(self.labels),
            "annotators": len(self.items),
            "labels_per_item": float(self.labels_per_item.mean()),
            "items_with_too_few": int((self.labels_per_item < annotators_per_item).sum()),
            "alpha": self.alpha,
            "model_accuracy": self.model_accuracy,
            "annotators_agreement": self.annotators_agreement,
        }
        return {name: None if value != value else value for name, value in told.items()}


def write_annotators(path: Path, annotators: Sequence[str], found: Consensus) -> None:
    """annotators.csv, the least reliable first; a quality that nothing shows is left empty."""
    import pyarrow as pa
    import pyarrow.csv

    table = pa.table(
        {
            "annotator": list(annotators),
            "items": found.items,
            "agreement": found.agreement.round(6),
            "quality": pa.array(found.annotator_quality.round(6), from_pandas=True),
        }
    )
    pyarrow.csv.write_csv(table.sort_by([("quality", "ascending"), ("annotator", "ascending")]), path)


def votes(labels: np.ndarray, classes: int) -> np.ndarray:
    """How many annotators gave each class, int64 (A, K). labels: float64 (A, M), NaN where none."""
    row, column = np.nonzero(~np.isnan(labels))
    cell = row * classes + labels[row, column].astype(np.int64)
    return np.bincount(cell, minlength=len(labels) * classes).reshape(len(labels), classes)


def majority(counted: np.ndarray, tie_break: np.ndarray) -> np.ndarray:
    """int64 (A,). counted: int (A, K), votes; tie_break: float (A, K) in [0, 1], decides between equals"""
    winner: np.ndarray = (counted + tie_break / 2).argmax(1)
    return winner


def krippendorff_alpha(counted: np.ndarray) -> float:
    """Agreement beyond chance for any number of annotators, 1 where they always agree, 0 as by chance
    (Krippendorff 2004, Content Analysis, chapter 11; labels are nominal).

    counted: int64 (A, K), votes; items with one label say nothing and do not count
    NaN where all labels are the same class: agreement by chance would be as good.
    """
    import krippendorff

    pairable = counted[counted.sum(1) > 1]
    if np.count_nonzero(pairable.any(0)) < 2:
        return float("nan")
    return float(krippendorff.alpha(value_counts=pairable, level_of_measurement="nominal"))


def merge(labels: np.ndarray, probabilities: np.ndarray) -> Consensus:
    """CROWDLAB (Goh, Tkachenko, Mueller 2022, arXiv:2210.06812): each annotator and the model weighted by
    how far they agree with the others.

    labels: float64 (A, M), index of the class that each annotator gave, NaN where none, one a row at least
    probabilities: float (A, K), of a model that was not trained on these items

    A guard: where the model finds the majority less often than an annotator does, it would spoil what people
    agree on; then the majority decides, and the model only between equals. The bar is higher than it looks,
    since each annotator is part of the majority. Just above it CROWDLAB can still be one or two points of
    accuracy below the majority (simulated: a model right 82 % of the time beside five annotators right 50 to
    90 %, three an item); beside a model right 91 % of the time it is as much above.

    Where no item has several labels, each stands as it is, with the model's probability as its quality.
    """
    from cleanlab.multiannotator import get_label_quality_multiannotator

    counted = votes(labels, probabilities.shape[1])
    several = counted.sum(1) > 1
    if not several.any():
        return _single(labels, probabilities)
    chosen = majority(counted, probabilities)
    model_accuracy = float((probabilities.argmax(1) == chosen)[several].mean())
    with_majority = counted[several, chosen[several]].sum()
    annotators_agreement = float(with_majority / counted[several].sum())
    weak = model_accuracy < annotators_agreement
    found = get_label_quality_multiannotator(
        labels,
        probabilities,
        consensus_method="majority_vote" if weak else "best_quality",
        quality_method="agreement" if weak else "crowdlab",
        return_detailed_quality=not weak,
        verbose=False,
    )
    items, people = found["label_quality"], found["annotator_stats"].sort_index()
    return Consensus(
        method="majority" if weak else "crowdlab",
        labels=items["consensus_label"].to_numpy().astype(np.int64),
        quality=items["consensus_quality_score"].to_numpy().astype(np.float64),
        labels_per_item=counted.sum(1),
        items=people["num_examples_labeled"].to_numpy().astype(np.int64),
        agreement=people["agreement_with_consensus"].to_numpy().astype(np.float64),
        annotator_quality=people["annotator_quality"].to_numpy().astype(np.float64),
        alpha=krippendorff_alpha(counted),
        model_accuracy=model_accuracy,
        annotators_agreement=annotators_agreement,
    )


def _single(labels: np.ndarray, probabilities: np.ndarray) -> Consensus:
    row, column = np.nonzero(~np.isnan(labels))
    alone = labels[row, column].astype(np.int64)
    quality = probabilities[row, alone].astype(np.float64)
    items = np.bincount(column, minlength=labels.shape[1])
    return Consensus(
        method="single",
        labels=alone,
        quality=quality,
        labels_per_item=np.ones(len(labels), dtype=np.int64),
        items=items,
        agreement=np.ones(labels.shape[1]),
        annotator_quality=np.bincount(column, quality, minlength=labels.shape[1]) / items,
        alpha=float("nan"),
        model_accuracy=float("nan"),
        annotators_agreement=float("nan"),
    )
