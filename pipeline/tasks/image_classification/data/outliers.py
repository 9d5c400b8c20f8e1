"""Which images do not belong: how unusual each one is, and how well that tells.

Writes
    outliers.csv   item_id, score, unusual, reason; the CSV_ROWS most unusual, worst first
    outliers.png   the worst of them, as pictures
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.core.findings import Findings
from pipeline.core.gates import Gate
from pipeline.core.statistics import auroc
from pipeline.tasks.image_classification.data import pictures, unusualness
from pipeline.tasks.image_classification.data.intruders import INTRUDERS
from pipeline.tasks.image_classification.parameters import Validate

CSV_ROWS = 500
GALLERY = 48  # images in outliers.png
NOTICED = 0.95  # share of the intruders that score above the limit from which an image is called unusual
DIGITS = 6  # decimals kept: what lies below is rounding of the matrix product


def examine(
    ids: np.ndarray, pixels: np.ndarray, limits: Validate, folder: Path
) -> tuple[Findings, np.ndarray]:
    """What was found, and which images are unusual, bool (N,).

    ids: str (N,); pixels: uint8 (N, C, H, W)
    """
    rng = np.random.default_rng(limits.seed)
    detector, found = unusualness.fit(pixels)
    score = unusualness.scores(detector, found)
    sample = np.sort(rng.permutation(len(pixels))[: limits.planted])
    planted = {
        name: unusualness.scores(
            detector, unusualness.features(INTRUDERS[name](pixels[sample], rng), detector.components)
        )
        for name in limits.outlier_kinds
    }
    pooled = np.concatenate(list(planted.values()))
    area, interval = auroc(score, pooled)
    limit = float(np.quantile(pooled, 1 - NOTICED))
    unusual = score >= limit
    worst = np.argsort(-score, kind="stable")[:CSV_ROWS]
    reasons = unusualness.reasons(detector, found[worst])
    _write(folder / "outliers.csv", ids[worst], score[worst], unusual[worst], reasons)
    captions = [f"{ids[i]}\n{reason}" for i, reason in zip(worst[:GALLERY], reasons, strict=False)]
    pictures.gallery(pixels[worst[:GALLERY]], captions, folder / "outliers.png", "Most unusual images")
    by_kind = {name: auroc(score, values) for name, values in planted.items()}
    hardest = min(by_kind, key=lambda name: by_kind[name][0])
    findings = Findings(
        summary=f"{int(unusual.sum()):,} images are unusual, and planted ones are told with an AUROC "
        f"of {area:.4f}",
        metrics={
            "outlier_auroc": area,
            "outlier_auroc_hardest": by_kind[hardest][0],
            "outliers": int(unusual.sum()),
            "outlier_share": float(unusual.mean()),
        },
        gates=(
            Gate("outlier_auroc", area, "at least", limits.outlier_auroc_min, "data",
                 f"{hardest} images look too much like the project's own; look at validation/outliers.png, "
                 "and at validate.outlier_kinds.", interval),
        ),
        details={
            "outliers": {
                "limit": round(limit, DIGITS),
                "unusual": int(unusual.sum()),
                "planted_of_each_kind": len(sample),
                "auroc": {"area": area, "interval": interval},
                "auroc_by_kind": {
                    name: {"area": value, "interval": between} for name, (value, between) in by_kind.items()
                },
            }
        },
    )  # fmt: skip
    return findings, unusual


def _write(path: Path, ids: np.ndarray, score: np.ndarray, unusual: np.ndarray, reasons: list[str]) -> None:
    import pyarrow.csv

    columns = {"item_id": pa.array(ids, pa.string()), "score": np.round(score, DIGITS)}
    pyarrow.csv.write_csv(pa.table(columns | {"unusual": unusual, "reason": reasons}), path)
