"""Does the test part show pictures of the training part again? What is found, and what would be.

The threshold is set on training images, each compared with all others: a share of
`near_duplicate_false_alarms` of them is called a near duplicate of an unrelated one. So about that share
of a clean test part is reported, too. Recall is measured by planting edits (data/edits.py) of training
images: found is whose original is the nearest image, above the threshold.

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
    _, unrelated = near_duplicates.nearest(among, training[drawn], drawn)
    limit = near_duplicates.threshold(unrelated, limits.near_duplicate_false_alarms)
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
    limit: float,
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
        nearest, correlation = near_duplicates.nearest(among, edit(training[originals], rng))
        hits[name] = (nearest == originals) & (correlation >= limit)
    return hits


def _across(
    among: near_duplicates.Collection, pixels: np.ndarray, train: np.ndarray, unseen: np.ndarray, limit: float
) -> Pairs:
    if not len(unseen):
        return _pairs(unseen, unseen, np.zeros(0, np.float32), limit)
    nearest, correlation = near_duplicates.nearest(among, pixels[unseen])
    return _pairs(unseen, train[nearest], correlation, limit)


def _within(pixels: np.ndarray, rows: np.ndarray, limit: float) -> Pairs:
    """Each pair once, though each of its images finds the other."""
    if len(rows) < 2:
        return _pairs(rows[:0], rows[:0], np.zeros(0, np.float32), limit)
    images = pixels[rows]
    own = np.arange(len(rows))
    nearest, correlation = near_duplicates.nearest(near_duplicates.collection(images), images, own)
    both = np.sort(np.stack([own, nearest]), axis=0)
    _, once = np.unique(both, axis=1, return_index=True)
    return _pairs(rows[both[0, once]], rows[both[1, once]], correlation[once], limit)


def _pairs(first: np.ndarray, second: np.ndarray, correlation: np.ndarray, limit: float) -> Pairs:
    alike = np.flatnonzero(correlation >= limit)
    order = alike[np.argsort(-correlation[alike], kind="stable")]
    return Pairs(first[order], second[order], correlation[order])


def _findings(
    hits: dict[str, np.ndarray],
    across: Pairs,
    within: Pairs,
    unseen: int,
    limit: float,
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
            "near_duplicate_threshold": round(limit, DIGITS),
            "near_duplicate_pairs": len(across.first),
            "near_duplicate_share": share,
            "near_duplicate_pairs_within_test": len(within.first),
        },
        gates=(
            Gate("near_duplicate_recall", recall, "at least", limits.near_duplicate_recall_min, "data",
                 f"above a correlation of {limit:.4f}, which {limits.near_duplicate_false_alarms:.2%} of "
                 f"unrelated images reach, too few of {planted:,} planted near duplicates are found; the "
                 "images are too alike, or validate.near_duplicate_false_alarms is too low.", interval),
            Gate("near_duplicate_share", share, "at most", limits.near_duplicate_share_max, "data",
                 f"{len(across.first):,} of {unseen:,} test images are near duplicates of training images: "
                 "look at validation/leakage.png, and leave those of leakage.csv out of the training part.",
                 wilson_interval(len(across.first), unseen)),
        ),
        details={
            "near_duplicates": {
                "threshold": round(limit, DIGITS),
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
