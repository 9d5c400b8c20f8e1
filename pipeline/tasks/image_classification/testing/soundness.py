"""Whether the figures can be believed: unseen images are unseen, the exported graph is what was trained."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import seen_items
from pipeline.core.gates import Gate
from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.testing.answers import Answers
from pipeline.testing.evaluation import Part


def unseen(package: Path, test: Split) -> Part:
    """No test image is among those that the packaged model, or one that it began with, has learnt from."""
    learnt = int(np.isin(seen_items.numbers(test.ids), seen_items.read(package)[0]).sum())
    return Part(
        gates=(
            Gate("unseen_images_learnt_from", learnt, "at most", 0, "data",
                 "the model was begun with one that has learnt from them: set train.start to null, or go "
                 "back to the prepare.salt and the shares of that time."),
        )
    )  # fmt: skip


def export_parity(answers: Answers, package: Path, params: Any, test: Split) -> Part:
    """The exported graph against the trained weights in PyTorch, on every unseen image."""
    from pipeline.tasks.image_classification.learning import networks

    trained = networks.load(package, params.collect)(test.pixels)
    difference = float(np.abs(answers.logits - trained).max())
    changed = int((answers.logits.argmax(1) != trained.argmax(1)).sum())
    return Part(
        metrics={"parity_max_difference": difference},
        gates=(
            Gate("export_changed_decisions", changed, "at most", 0, "training",
                 "the exported graph differs from the trained network; mend the export."),
        ),
        details={"parity": {"max_difference": difference, "changed": changed}},
    )  # fmt: skip
