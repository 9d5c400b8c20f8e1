"""The errors on unseen images, for a person to learn from."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from pipeline.tasks.image_classification.data import pictures
from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.testing.answers import Answers


def show(
    answers: Answers, test: Split, classes: tuple[str, ...], labelled: Path, worst: int, folder: Path
) -> None:
    """Writes errors.png: the most confident errors, and which labels the audit doubts."""
    audit = pq.read_table(labelled / "labels.parquet", columns=["item_id", "doubtful"])
    doubtful = set(audit.filter(audit["doubtful"])["item_id"].to_pylist())
    confidence, wrong = answers.confidence, np.flatnonzero(~answers.right)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:worst]
    captions = [
        f"{classes[answers.labels[i]]} read as {classes[answers.predicted[i]]}"
        f"{' (label?)' if test.ids[i] in doubtful else ''}\n{confidence[i]:.2f}"
        for i in shown
    ]
    title = "Most confident errors; (label?) = audit doubts it"
    pictures.gallery(test.pixels[shown], captions, folder / "errors.png", title)
