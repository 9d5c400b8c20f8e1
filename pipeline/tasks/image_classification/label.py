"""Labels of images: given by the source, audited by networks that never saw them.

Each image is judged by a network trained on the other folds. A label that such a network finds
improbable is doubtful; how many there are is the count of confident learning (Northcutt, Jiang,
Chuang 2021, as in cleanlab). The published test part is audited too, as a report: what is found
there is never used to train or to choose.

Writes
    labels.parquet  item_id, given, label, suggested (indices of classes), score (probability of
                    the given label, out of fold, in [0, 1]; low is doubtful), doubtful (bool)
    queue.csv       the doubtful, worst first, for relabeling
    audit.json      counts
    doubtful.png    the worst of the queue, as pictures
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.artifacts import write_json
from pipeline.core.findings import Findings
from pipeline.core.paths import Paths
from pipeline.tasks.image_classification.data import items, pictures
from pipeline.tasks.image_classification.data.pixel_statistics import channel_statistics
from pipeline.tasks.image_classification.parameters import Collect, Label

GALLERY = 48  # images in doubtful.png


def label(params: Any, paths: Paths, folder: Path) -> Findings:
    collect: Collect = params.collect
    table, pixels = items.read(paths.collected)
    given = table["label"].to_numpy()
    probabilities = out_of_fold(np.asarray(pixels), given, params.label, collect)
    score = probabilities[np.arange(len(given)), given]
    suggested = probabilities.argmax(1)
    doubtful = confident_errors(given, probabilities)
    pq.write_table(
        pa.table(
            {
                "item_id": table["item_id"],
                "given": given,
                "label": given,
                "suggested": suggested,
                "score": score.astype(np.float32),
                "doubtful": doubtful,
            }
        ),
        folder / "labels.parquet",
    )
    worst = np.argsort(np.where(doubtful, score, 2.0), kind="stable")
    queue = worst[: min(int(doubtful.sum()), params.label.queue_max)]
    _write_queue(folder / "queue.csv", table, queue, given, suggested, score, collect.classes)
    shown = queue[:GALLERY]
    captions = [
        f"{collect.classes[given[i]]} → {collect.classes[suggested[i]]}?  {score[i]:.2g}" for i in shown
    ]
    pictures.gallery(pixels[shown], captions, folder / "doubtful.png", "Doubtful labels: given → suggested")
    counts = {
        "items": len(given),
        "doubtful": int(doubtful.sum()),
        "doubtful_share": float(doubtful.mean()),
        "queued": len(queue),
    }
    told = {"policy": params.label.policy, "annotators_per_item": params.label.annotators_per_item}
    write_json(folder / "audit.json", counts | told)
    return Findings(
        summary=f"{counts['doubtful']:,} of {counts['items']:,} labels are doubtful "
        f"({counts['doubtful_share']:.2%}); {counts['queued']:,} queued for relabeling",
        metrics=counts,
    )


def out_of_fold(pixels: np.ndarray, labels: np.ndarray, params: Label, collect: Collect) -> np.ndarray:
    """Probabilities float32 (N, K) of each image, from a network that was not trained on it.

    pixels: uint8 (N, C, H, W); labels: int64 (N,)
    """
    import lightning
    from scipy.special import softmax
    from tqdm import trange

    from pipeline.tasks.image_classification.learning import fitting, networks

    rng = np.random.default_rng(params.seed)
    fold = rng.permutation(len(labels)) % params.folds
    probabilities = np.empty((len(labels), len(collect.classes)), dtype=np.float32)
    for k in trange(params.folds, desc="label audit", unit="fold"):
        rest, held = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        mean, std = channel_statistics(pixels[rest])
        lightning.seed_everything(params.seed + k, verbose=False)
        network = networks.build(params.recipe.network, collect.image, len(collect.classes), mean, std)
        fitting.fit(network, params.recipe, params.seed + k, (pixels[rest], labels[rest]))
        probabilities[held] = softmax(fitting.predict(network, pixels[held]), axis=1)
    return probabilities


def confident_errors(given: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """bool (N,): labels that confident learning holds to be wrong.

    given: int64 (N,); probabilities: float32 (N, K), out of fold
    A class that never occurs among `given` cannot be counted; cleanlab needs all of them.
    """
    from cleanlab.filter import find_label_issues

    present = np.unique(given)
    position = np.searchsorted(present, given)
    shares = probabilities[:, present]
    shares = shares / shares.sum(1, keepdims=True)
    found: np.ndarray = find_label_issues(position, shares, n_jobs=1)
    return found


def _write_queue(
    path: Path,
    table: pa.Table,
    queue: np.ndarray,
    given: np.ndarray,
    suggested: np.ndarray,
    score: np.ndarray,
    classes: tuple[str, ...],
) -> None:
    import pyarrow.csv

    names = np.array(classes)
    rows = table.take(queue)
    columns = {
        "item_id": rows["item_id"],
        "source": rows["source"],
        "source_index": rows["source_index"],
        "split": rows["part"],
        "given": names[given[queue]],
        "suggested": names[suggested[queue]],
        "score": score[queue],
        "rank": np.arange(1, len(queue) + 1),
    }
    pyarrow.csv.write_csv(pa.table(columns), path)
