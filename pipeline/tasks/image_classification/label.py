"""Labels of images: given by the source or by several annotators, corrected by people, audited by networks.

The label of an image is the source's; where annotators labelled it, what they and the networks say
together (pipeline/labels/consensus.py); where somebody corrected it, the correction. Each image is judged
twice: by a network that was trained on the other folds, and by how the networks that were trained on it
learnt it. How many labels are doubtful is the count of confident learning (Northcutt, Jiang, Chuang 2021, as
in cleanlab); which they are, both judgements say together. The published test part is audited too, as a
report: what is found there is never used to train or to choose.

Writes
    labels.parquet  item_id; given, label, suggested (indices of classes: the source's, the one that counts,
                    the most probable out of fold); self_confidence (probability of the label, out of fold);
                    aum (area under the margin, in logits; NaN where no network was trained on this label);
                    score (of both ranks, in [0, 1]; low is doubtful); doubtful, corrected (bool);
                    quality (of the annotators' consensus, in [0, 1]; NaN where there is none)
    queue.csv       the doubtful, worst first, then the next worst, for relabeling
    annotators.csv  annotator, items, agreement (with the consensus), quality; only with annotations
    audit.json      the policy, counts, agreement, and what corrections brought
    doubtful.png    the worst of the queue, as pictures
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.core.artifacts import write_json
from pipeline.core.findings import Findings
from pipeline.core.gates import Gate
from pipeline.core.paths import Paths
from pipeline.labels import annotations, consensus, corrections
from pipeline.labels.annotations import Annotations
from pipeline.labels.consensus import Consensus
from pipeline.tasks.image_classification.data import items, pictures
from pipeline.tasks.image_classification.parameters import Collect, Label

if TYPE_CHECKING:
    from pipeline.tasks.image_classification.learning.label_audit import Effect, Judgement

GALLERY = 48  # images in doubtful.png


def label(params: Any, paths: Paths, folder: Path) -> Findings:
    from pipeline.tasks.image_classification.learning import label_audit

    collect: Collect = params.collect
    table, mapped = items.read(paths.collected)
    pixels, given = np.asarray(mapped), table["label"].to_numpy()
    ids = table["item_id"].to_pylist()
    people = _annotations(paths, params.label, ids, collect.classes)
    before = _majority(given, people, len(collect.classes))
    learnt, corrected = corrections.apply(paths.corrections, before, ids, collect.classes)
    judged = label_audit.out_of_fold(pixels, learnt, params.label, collect)
    effect = None
    if (learnt != before).any():
        uncorrected = label_audit.out_of_fold(pixels, before, params.label, collect)
        effect = label_audit.effect(before, learnt, uncorrected, judged, params.label)
    agreed = consensus.merge(people.labels, judged.probabilities[people.rows]) if people else None
    final, quality = _with_consensus(learnt, corrected, people, agreed)
    columns = {"item_id": table["item_id"], "given": given}
    columns |= _audited(final, learnt, corrected, judged) | {"corrected": corrected, "quality": quality}
    pq.write_table(pa.table(columns), folder / "labels.parquet")
    queue = _queue(columns["doubtful"], columns["score"], corrected, params.label)
    _write_queue(folder, table, pixels, columns, queue, collect.classes)
    if people and agreed:
        consensus.write_annotators(folder / "annotators.csv", people.annotators, agreed)
    counts = {
        "items": len(final),
        "doubtful": int(columns["doubtful"].sum()),
        "doubtful_share": float(columns["doubtful"].mean()),
        "queued": len(queue),
        "corrections": int(corrected.sum()),
        "changed": int((learnt != before).sum()),
    }
    told = {
        "policy": params.label.policy.model_dump(),
        "annotations": agreed and agreed.told(params.label.policy.annotators_per_item),
        "effect_of_corrections": effect and asdict(effect),
    }
    write_json(folder / "audit.json", counts | told)
    return _findings(counts, agreed, effect, params.label)


def _annotations(paths: Paths, params: Label, ids: list[str], classes: tuple[str, ...]) -> Annotations | None:
    return annotations.read(paths.root / params.annotations, ids, classes) if params.annotations else None


def _majority(given: np.ndarray, people: Annotations | None, classes: int) -> np.ndarray:
    """What the networks learn before anybody has merged the annotators with them; the source breaks ties."""
    labels = given.copy()
    if people:
        counted = consensus.votes(people.labels, classes)
        labels[people.rows] = consensus.majority(counted, np.eye(classes)[given[people.rows]])
    return labels


def _with_consensus(
    learnt: np.ndarray, corrected: np.ndarray, people: Annotations | None, agreed: Consensus | None
) -> tuple[np.ndarray, np.ndarray]:
    """The labels that count, int64 (N,), and the quality of the consensus, float64 (N,)."""
    labels, quality = learnt.copy(), np.full(len(learnt), np.nan)
    if people and agreed:
        quality[people.rows] = agreed.quality
        labels[people.rows] = np.where(corrected[people.rows], learnt[people.rows], agreed.labels)
    return labels, quality


def _audited(
    labels: np.ndarray, learnt: np.ndarray, corrected: np.ndarray, judged: "Judgement"
) -> dict[str, np.ndarray]:
    """Columns of labels.parquet."""
    from pipeline.tasks.image_classification.learning import label_audit

    self_confidence = judged.probabilities[np.arange(len(labels)), labels]
    aum = np.where(labels == learnt, judged.aum, np.float32(np.nan))
    score = label_audit.scores(aum, self_confidence)
    return {
        "label": labels,
        "suggested": judged.probabilities.argmax(1),
        "self_confidence": self_confidence,
        "aum": aum,
        "score": score,
        "doubtful": label_audit.doubtful(labels, judged.probabilities, score, corrected),
    }


def _queue(doubtful: np.ndarray, score: np.ndarray, corrected: np.ndarray, params: Label) -> np.ndarray:
    """int64 (Q,): the doubtful, worst first; then the next worst, where there are fewer than queue_min."""
    worst = np.lexsort((score, ~doubtful))
    waiting = worst[~corrected[worst]]
    return waiting[: min(max(int(doubtful.sum()), params.queue_min), params.queue_max)]


def _write_queue(
    folder: Path,
    table: pa.Table,
    pixels: np.ndarray,
    columns: dict[str, Any],
    queue: np.ndarray,
    classes: tuple[str, ...],
) -> None:
    """queue: int64 (Q,), rows of the doubtful, worst first; columns: those of labels.parquet"""
    names, rows = np.array(classes), table.take(queue)
    given, suggested = names[columns["label"][queue]], names[columns["suggested"][queue]]
    score = columns["score"][queue]
    written = {
        "item_id": rows["item_id"],
        "source": rows["source"],
        "source_index": rows["source_index"],
        "split": rows["part"],
        "given": given,
        "suggested": suggested,
        "score": score,
        "rank": np.arange(1, len(queue) + 1),
    }
    pyarrow.csv.write_csv(pa.table(written), folder / "queue.csv")
    shown = zip(given[:GALLERY], suggested[:GALLERY], score[:GALLERY], strict=True)
    captions = [f"{was} → {is_}?  {value:.2g}" for was, is_, value in shown]
    title = "Doubtful labels: given → suggested"
    pictures.gallery(pixels[queue[:GALLERY]], captions, folder / "doubtful.png", title)


def _findings(
    counts: dict[str, float], agreed: Consensus | None, effect: "Effect | None", params: Label
) -> Findings:
    summary = (
        f"{counts['doubtful']:,} of {counts['items']:,} labels are doubtful "
        f"({counts['doubtful_share']:.2%}); {counts['queued']:,} queued for relabeling"
    )
    metrics, gates = dict(counts), []
    if effect:
        low, high = effect.interval
        metrics |= {name: value for name, value in asdict(effect).items() if name != "interval"}
        metrics |= {"gain_low": low, "gain_high": high}
        summary += (
            f"; {counts['changed']:,} labels corrected: accuracy out of fold {effect.accuracy_before:.4f} to "
            f"{effect.accuracy_after:.4f} ({effect.gain:+.4f} [{low:+.4f}, {high:+.4f}]), doubtful "
            f"{effect.doubtful_before:,} to {effect.doubtful_after:,}"
        )
    elif counts["corrections"]:
        summary += f"; {counts['corrections']:,} labels looked at and confirmed"
    if agreed:
        told = agreed.told(params.policy.annotators_per_item)
        metrics |= {
            f"annotations.{name}": value for name, value in told.items() if isinstance(value, int | float)
        }
        summary += (
            f"; {told['items']:,} labelled by {told['annotators']:,} annotator(s), merged by {agreed.method}"
        )
        if agreed.method != "single":
            gates.append(
                Gate("annotators_agreement", agreed.alpha, "at least", params.policy.min_agreement, "data",
                     "annotators.csv says who differs: make label.policy.guidelines clearer, teach or "
                     "replace annotators, and label again.")
            )  # fmt: skip
    return Findings(summary=summary, metrics=metrics, gates=tuple(gates))
