"""Parts of the unseen images on which the network may do worse than on all of them.

Named slices are the classes, and the thirds of each property of the images (appearance.py); what a third
is, the training images say. Found slices are pairs of conditions (a third of a property, a predicted class)
under which the network did worst on the validation images, after the lattice search of Slice Finder (Chung
et al. 2019, arXiv:1807.06068); whether they are any worse, the unseen images say.

A slice is judged from `smallest` images on. It fails when its accuracy is evidently below the floor: by a
one-sided exact binomial test, corrected for all slices that are judged together (Holm 1979), so that the
chance that any slice at or above the floor fails is at most `false_alarm`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipeline.core.gates import Gate
from pipeline.core.statistics import holm, wilson_interval
from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.parameters import Slices
from pipeline.tasks.image_classification.testing import slice_pictures
from pipeline.tasks.image_classification.testing.answers import Answers
from pipeline.tasks.image_classification.testing.appearance import properties
from pipeline.testing.evaluation import Part

THIRDS = ("low", "middle", "high")
BOUNDS_FROM = 5_000  # training images, spread over all, that the thirds are read from
OVERLAP = 0.5  # images that two found slices share, over those in either: beyond it they are the same finding

Masks = dict[str, np.ndarray]
Bounds = Mapping[str, np.ndarray]


def measure(
    answers: Answers,
    test: Split,
    chosen_by: Answers,
    val: Split,
    train: Split,
    classes: tuple[str, ...],
    limits: Slices,
    folder: Path,
) -> Part:
    """Writes slices.csv, slices.png and slice_examples.png. chosen_by: answers to `val`"""
    thirds = bounds(train.pixels)
    looks, val_looks = (by_property(split.pixels, thirds) for split in (test, val))
    said = looks | by_class(answers.predicted, classes, "predicted")
    val_said = val_looks | by_class(chosen_by.predicted, classes, "predicted")
    pairs = search(val_said, 1 - chosen_by.of_label, limits.smallest * len(val) / len(test), limits.found)
    kinds = {
        "class": by_class(answers.labels, classes, "class"),
        "property": looks,
        "found": {_named(pair): _both(said, pair, len(test)) for pair in pairs},
    }
    judgements = corrected([row for kind in kinds for row in judge(kinds[kind], answers.right, kind)], limits)
    seen = {_named(pair): _both(val_said, pair, len(val)) for pair in pairs}
    rows = sorted(
        (row | _on_validation(seen.get(row["slice"]), chosen_by.right) for row in judgements),
        key=_worst_first,
    )
    pa.csv.write_csv(pa.Table.from_pylist(rows), folder / "slices.csv")
    judged = [row for row in rows if row["judged"]]
    slice_pictures.accuracies(judged, float(answers.right.mean()), limits.floor, folder / "slices.png")
    masks = {name: mask for kind in kinds.values() for name, mask in kind.items()}
    slice_pictures.examples(judged, masks, answers, test, classes, folder / "slice_examples.png")
    return Part(
        metrics={"worst_slice_accuracy": judged[0]["accuracy"]} if judged else {},
        intervals={"worst_slice_accuracy": (judged[0]["low"], judged[0]["high"])} if judged else {},
        gates=(_gate(judged),),
        details={
            "slices": {
                "judged": len(judged),
                "floor": limits.floor,
                "bounds": {name: [float(value) for value in at] for name, at in thirds.items()},
                "rows": rows,
            }
        },
    )


def of(
    pixels: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], thirds: Bounds
) -> Mapping[str, np.ndarray]:
    """The named slices, bool (N,) each; none is empty.

    pixels: uint8 (N, C, H, W); labels: int64 (N,); thirds: of `bounds`
    """
    return by_class(labels, classes, "class") | by_property(pixels, thirds)


def bounds(pixels: np.ndarray) -> Bounds:
    """Of each property the values that part the training images into thirds, float32 (2,).

    One value where both thirds begin at the same, none where all images are alike. uint8 (N, C, H, W), N > 0
    """
    some = properties(pixels[:: -(-len(pixels) // BOUNDS_FROM)])
    found = {name: np.unique(np.quantile(values, [1 / 3, 2 / 3])) for name, values in some.items()}
    return {name: at[at < some[name].max()] for name, at in found.items()}


def by_property(pixels: np.ndarray, thirds: Bounds) -> Masks:
    """`stroke_width low`, `middle`, `high`, and so on: at most the first bound, at most the second, above."""
    masks = {}
    for name, values in properties(pixels).items():
        at = thirds[name]
        place = np.searchsorted(at, values, side="left")
        names = THIRDS if len(at) == 2 else (THIRDS[0], THIRDS[2])
        for k in range(len(at) + 1 if len(at) else 0):
            masks[f"{name} {names[k]}"] = place == k
    return {name: mask for name, mask in masks.items() if mask.any()}


def by_class(numbers: np.ndarray, classes: tuple[str, ...], what: str) -> Masks:
    """`WHAT NAME` for each class that occurs among numbers, int64 (N,)."""
    return {f"{what} {classes[k]}": numbers == k for k in np.unique(numbers)}


def search(conditions: Masks, loss: np.ndarray, smallest: float, most: int) -> list[tuple[str, str]]:
    """The pairs of conditions under which the loss is most evidently above that of all other images.

    conditions: bool (N,) each; loss: float (N,), one less the probability of the true class, which says
    more than the few errors; smallest: images in a pair; most: pairs. Ranked by Welch's t; of pairs that
    share most of their images the first remains.
    """
    names = list(conditions)
    table = np.stack([conditions[name] for name in names]).astype(np.float64)
    size, total = len(loss), loss.sum()
    inside = table @ table.T
    outside = size - inside
    with np.errstate(divide="ignore", invalid="ignore"):
        sums, squares = (table * loss) @ table.T, (table * loss**2) @ table.T
        mean_in, mean_out = sums / inside, (total - sums) / outside
        var_in = np.maximum(squares / inside - mean_in**2, 0)
        var_out = np.maximum(((loss**2).sum() - squares) / outside - mean_out**2, 0)
        welch = (mean_in - mean_out) / np.sqrt(var_in / inside + var_out / outside)
    large = (inside >= max(smallest, 2)) & (outside >= 2) & np.isfinite(welch) & (welch > 0)
    first, second = np.nonzero(np.triu(large, 1))
    chosen: list[tuple[str, str]] = []
    kept: list[np.ndarray] = []
    for k in np.argsort(-welch[first, second], kind="stable"):
        mask = (table[first[k]] * table[second[k]]).astype(bool)
        if len(chosen) == most:
            break
        if all((mask & other).sum() <= OVERLAP * (mask | other).sum() for other in kept):
            chosen.append((names[first[k]], names[second[k]]))
            kept.append(mask)
    return chosen


def judge(masks: Mapping[str, np.ndarray], right: np.ndarray, kind: str) -> list[dict[str, Any]]:
    """A row for each slice. right: bool (N,); `worse_p`: one-sided exact p-value (Fisher) that the slice is
    no worse than the other images."""
    from scipy.stats import hypergeom

    rows = []
    for name, mask in masks.items():
        items, hits = int(mask.sum()), int(right[mask].sum())
        low, high = wilson_interval(hits, items)
        rows.append(
            {
                "slice": name,
                "kind": kind,
                "items": items,
                "errors": items - hits,
                "accuracy": hits / items if items else None,
                "low": low,
                "high": high,
                "worse_p": float(hypergeom.cdf(hits, len(right), int(right.sum()), items)),
            }
        )
    return rows


def corrected(rows: list[dict[str, Any]], limits: Slices) -> list[dict[str, Any]]:
    """The rows with `judged`, and for those `floor_p`, `evidently_below` the floor and, where the slice was
    found, `confirmed`: that it is worse than the other images, corrected for all that were found."""
    from scipy.stats import binom

    unknown = dict.fromkeys(("floor_p", "evidently_below", "confirmed"))
    rows = [row | {"judged": row["items"] >= limits.smallest} | unknown for row in rows]
    judged = [row for row in rows if row["judged"]]
    floor_p = holm(
        np.array([binom.cdf(row["items"] - row["errors"], row["items"], limits.floor) for row in judged])
    )
    for row, p in zip(judged, floor_p, strict=True):
        row |= {"floor_p": float(p), "evidently_below": bool(p < limits.false_alarm)}
    found = [row for row in judged if row["kind"] == "found"]
    for row, p in zip(found, holm(np.array([row["worse_p"] for row in found])), strict=True):
        row["confirmed"] = bool(p < limits.false_alarm)
    return rows


def _named(pair: tuple[str, str]) -> str:
    return " and ".join(pair)


def _both(conditions: Masks, pair: tuple[str, str], items: int) -> np.ndarray:
    """bool (N,); a condition that holds of no image is not among them."""
    none = np.zeros(items, dtype=bool)
    return conditions.get(pair[0], none) & conditions.get(pair[1], none)


def _on_validation(mask: np.ndarray | None, right: np.ndarray) -> dict[str, Any]:
    """What made a found slice be found; nothing of the others."""
    if mask is None:
        return {"validation_items": None, "validation_accuracy": None}
    return {"validation_items": int(mask.sum()), "validation_accuracy": float(right[mask].mean())}


def _worst_first(row: dict[str, Any]) -> tuple[bool, float]:
    """Those that are judged before those that are too small."""
    return not row["judged"], 1.0 if row["accuracy"] is None else row["accuracy"]


def _gate(judged: list[dict[str, Any]]) -> Gate:
    below = [row for row in judged if row["evidently_below"]]
    told = "; ".join(
        f"{row['slice']} {row['accuracy']:.4f} [{row['low']:.4f}, {row['high']:.4f}] of {row['items']:,}"
        for row in below
    )
    return Gate(
        "slices_below_floor", len(below), "at most", 0, "data",
        f"collect, relabel or augment what looks like these: {told}.",
    )  # fmt: skip
