"""Does the test part show pictures of the training part again? What is found, and what would be.

The limits (data/near_duplicates.py) are set on training images, each compared with all others: at most a
share of `near_duplicate_false_alarms` of them passes for a near duplicate of an unrelated one. So up to
that share of a clean test part is reported, too. Recall is measured by planting edits (data/edits.py) of
training images: found is whose original is the most alike image, and within the limits.

Writes
    leakage.csv   parts (test-train or test-test), item_id, other_id, correlation; most alike first
    leakage.png   the most alike pairs across the parts
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.core.errors import SourceError
from pipeline.core.findings import Findings
from pipeline.core.gates import Gate
from pipeline.core.statistics import Interval, wilson_interval
from pipeline.tasks.image_classification.data import near_duplicates, pictures
from pipeline.tasks.image_classification.data.edits import EDITS
from pipeline.tasks.image_classification.parameters import Validate

CALIBRATED_ON = 2000  # images that set the threshold: at 1 % false alarms it is the 20th highest value
GALLERY = 24  # pairs in leakage.png
DIGITS = 6  # decimals kept: what lies below is rounding of the matrix product


@dataclass(frozen=True)
class Pairs:
    """first, second: int64 (P,), rows of the image table; correlation: float32 (P,), highest first."""

    first: np.ndarray
    second: np.ndarray
    correlation: np.ndarray


def examine(
    ids: np.ndarray, pixels: np.ndarray, content: np.ndarray, test: np.ndarray, limits: Validate, folder: Path
) -> Findings:
    """ids, content: str (N,); pixels: uint8 (N, C, H, W); test: bool (N,), is of the test part

    SourceError where fewer than two training images have no copy: no threshold can be set on them.
    """
    train, unseen = np.flatnonzero(~test), np.flatnonzero(test)
    single = _without_copy(content[train])
    if len(single) < 2:
        raise SourceError(
            f"collected/items.parquet: {len(single)} of {len(train)} training images have no copy; the "
            "search for near duplicates sets its threshold on such images and needs at least 2. Collect more."
        )
    rng = np.random.default_rng(limits.seed)
    training = pixels[train]
    among = near_duplicates.collection(training)
    drawn = rng.permutation(single)[:CALIBRATED_ON]
    unrelated = near_duplicates.nearest(among, training[drawn], drawn)
    limit = near_duplicates.calibrated(unrelated, limits.near_duplicate_false_alarms)
    hits = _planted(among, training, single, limit, limits.planted, rng)
    across, within = _across(among, pixels, train, unseen, limit), _within(pixels, unseen, limit)
    _write(folder / "leakage.csv", ids, {"test-train": across, "test-test": within})
    _draw(folder / "leakage.png", ids, pixels, across)
    return _findings(hits, across, within, len(unseen), limit, len(drawn), limits)


def _without_copy(content: np.ndarray) -> np.ndarray:
    """Rows int64 of the images whose pixels no other image has."""
    _, first, counts = np.unique(content, return_index=True, return_counts=True)
    return np.asarray(first[counts == 1])


def _planted(
    among: near_duplicates.Collection,
    training: np.ndarray,
    single: np.ndarray,
    limit: near_duplicates.Limits,
    wanted: int,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Of each edit, which planted near duplicates were found, bool (n,).

    Every edit is planted in images of its own, so that all trials are independent.
    """
    order = rng.permutation(single)
    each = min(wanted, max(1, len(order) // len(EDITS)))
    hits = {}
    for i, (name, edit) in enumerate(EDITS.items()):
        originals = order[i * each : (i + 1) * each]
        if not len(originals):
            continue
        likeness = near_duplicates.nearest(among, edit(training[originals], rng))
        hits[name] = (likeness.row == originals) & limit.passed(likeness)
    return hits


def _across(
    among: near_duplicates.Collection,
    pixels: np.ndarray,
    train: np.ndarray,
    unseen: np.ndarray,
    limit: near_duplicates.Limits,
) -> Pairs:
    likeness = near_duplicates.nearest(among, pixels[unseen])
    order = _passed(likeness, limit)
    return Pairs(unseen[order], train[likeness.row[order]], likeness.correlation[order])


def _within(pixels: np.ndarray, rows: np.ndarray, limit: near_duplicates.Limits) -> Pairs:
    """Each pair once, though each of its images may find the other."""
    if len(rows) < 2:
        return Pairs(rows[:0], rows[:0], np.zeros(0, np.float32))
    images, own = pixels[rows], np.arange(len(rows))
    likeness = near_duplicates.nearest(near_duplicates.collection(images), images, own)
    order = _passed(likeness, limit)
    both = np.sort(np.stack([order, likeness.row[order]]), axis=0)
    _, once = np.unique(both, axis=1, return_index=True)
    once.sort()
    return Pairs(rows[both[0, once]], rows[both[1, once]], likeness.correlation[order[once]])


def _passed(likeness: near_duplicates.Likeness, limit: near_duplicates.Limits) -> np.ndarray:
    """Places of the near duplicates, the most alike first."""
    passed = np.flatnonzero(limit.passed(likeness))
    return np.asarray(passed[np.argsort(-likeness.correlation[passed], kind="stable")])


def _findings(
    hits: dict[str, np.ndarray],
    across: Pairs,
    within: Pairs,
    unseen: int,
    limit: near_duplicates.Limits,
    calibrated_on: int,
    limits: Validate,
) -> Findings:
    found, planted = (int(sum(f(hit) for hit in hits.values())) for f in (np.sum, len))
    recall, interval = found / planted, wilson_interval(found, planted)
    share = len(across.first) / max(unseen, 1)
    return Findings(
        summary=f"{len(across.first):,} of {unseen:,} test images are like a training image, and "
        f"{recall:.1%} of planted near duplicates are found",
        metrics={
            "near_duplicate_recall": recall,
            "near_duplicate_correlation": round(limit.correlation, DIGITS),
            "near_duplicate_ratio": round(limit.ratio, DIGITS),
            "near_duplicate_pairs": len(across.first),
            "near_duplicate_share": share,
            "near_duplicate_pairs_within_test": len(within.first),
        },
        gates=(
            Gate("near_duplicate_recall", recall, "at least", limits.near_duplicate_recall_min, "data",
                 f"too few of {planted:,} planted ones are found at {limits.near_duplicate_false_alarms:.2%} "
                 "false alarms: the images are too alike, or "
                 "validate.near_duplicate_false_alarms is too low.", interval),
            Gate("near_duplicate_share", share, "at most", limits.near_duplicate_share_max, "data",
                 f"{len(across.first):,} of {unseen:,} test images are near duplicates of training images: "
                 "look at validation/leakage.png, and leave those of leakage.csv out of the training part.",
                 wilson_interval(len(across.first), unseen)),
        ),
        details={
            "near_duplicates": {
                "correlation": round(limit.correlation, DIGITS),
                "ratio": round(limit.ratio, DIGITS),
                "false_alarms": limits.near_duplicate_false_alarms,
                "calibrated_on": calibrated_on,
                "recall": _share(found, planted),
                "recall_by_edit": {name: _share(int(hit.sum()), len(hit)) for name, hit in hits.items()},
                "pairs": {"test-train": len(across.first), "test-test": len(within.first)},
            }
        },
    )  # fmt: skip


def _share(part: int, whole: int) -> dict[str, float | Interval]:
    return {"share": part / whole, "interval": wilson_interval(part, whole), "of": whole}


def _write(path: Path, ids: np.ndarray, parts: dict[str, Pairs]) -> None:
    import pyarrow.csv

    tables = [
        pa.table(
            {
                "parts": pa.array([name] * len(pairs.first), pa.string()),
                "item_id": pa.array(ids[pairs.first], pa.string()),
                "other_id": pa.array(ids[pairs.second], pa.string()),
                "correlation": np.round(pairs.correlation.astype(np.float64), DIGITS),
            }
        )
        for name, pairs in parts.items()
    ]
    pyarrow.csv.write_csv(pa.concat_tables(tables), path)


def _draw(path: Path, ids: np.ndarray, pixels: np.ndarray, pairs: Pairs) -> None:
    """Each test image beside the training image that it is alike to."""
    shown = np.stack([pairs.first[:GALLERY], pairs.second[:GALLERY]], axis=1)
    captions = []
    for (first, second), value in zip(shown, pairs.correlation, strict=False):
        captions += [str(ids[first]), f"{ids[second]}\n{value:.3f}"]
    pictures.gallery(pixels[shown.ravel()], captions, path, "Most alike: test, then training image")
