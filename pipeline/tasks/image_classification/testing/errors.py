"""The errors on unseen images, for a person to learn from: is the network wrong, or the label?

The label audit trained networks on parts of all images and asked those that had not seen an image (label.py).
Its opinion stands beside each error: `label` where it doubts the given label, `network` where it finds the
given label the likeliest, `undecided` where it would give another one, too, without doubting the given one.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.core.artifacts import write_json
from pipeline.core.statistics import wilson_interval
from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.testing import contact_sheet
from pipeline.tasks.image_classification.testing.answers import Answers
from pipeline.tasks.image_classification.testing.classification import log_losses
from pipeline.tasks.image_classification.testing.contact_sheet import COLUMNS, Cell, Line
from pipeline.testing.evaluation import Part

OPINIONS = {"network": "#dc2626", "label": "#d97706", "undecided": "#64748b"}
MEANING = {
    "network": "the audit finds the label right",
    "label": "the audit doubts the label",
    "undecided": "the audit errs, too, and does not doubt the label",
}
AUDIT = ["item_id", "suggested", "score", "doubtful"]


def measure(
    answers: Answers, test: Split, classes: tuple[str, ...], labelled: Path, worst: int, folder: Path
) -> Part:
    """Writes errors.csv and errors.json, all errors, the worst first; and errors.png, the worst of them."""
    rows, table = listed(answers, test, classes, labelled)
    pa.csv.write_csv(table, folder / "errors.csv")
    write_json(folder / "errors.json", table.to_pylist())
    opinions = table["opinion"].to_pylist()
    _draw(test.pixels[rows[:worst]], table.slice(0, worst).to_pylist(), len(rows), folder / "errors.png")
    return Part(
        details={
            "errors": {"count": len(rows)} | {name: opinions.count(name) for name in OPINIONS},
            "accuracy_without_doubtful": _without_doubtful(answers, test, labelled),
        }
    )


def listed(
    answers: Answers, test: Split, classes: tuple[str, ...], labelled: Path
) -> tuple[np.ndarray, pa.Table]:
    """The errors, the highest log loss first: int64 (E,) rows of `test`, and a table with the columns

    item_id; label, empty, for a person to fill in (`fullcycle labels import`); given, predicted, suggested,
    names of classes; confidence of the prediction; probability of the given class; score of the audit, in
    [0, 1], low is doubtful; opinion, see above
    """
    rows = np.flatnonzero(~answers.right)
    rows = rows[np.argsort(-log_losses(answers.of_label)[rows], kind="stable")]
    audit = _audit(test, labelled)
    names = np.array(classes)
    given, suggested = names[answers.labels[rows]], names[audit["suggested"][rows]]
    doubtful = audit["doubtful"][rows]
    opinion = np.where(doubtful, "label", np.where(suggested == given, "network", "undecided"))
    return rows, pa.table(
        {
            "item_id": pa.array(test.ids[rows].tolist(), pa.string()),
            "label": pa.array([""] * len(rows), pa.string()),
            "given": pa.array(given.tolist(), pa.string()),
            "predicted": pa.array(names[answers.predicted[rows]].tolist(), pa.string()),
            "suggested": pa.array(suggested.tolist(), pa.string()),
            "confidence": answers.confidence[rows],
            "probability": answers.of_label[rows],
            "score": audit["score"][rows],
            "opinion": pa.array(opinion.tolist(), pa.string()),
        }
    )


def _audit(test: Split, labelled: Path) -> dict[str, np.ndarray]:
    """The audit's columns of AUDIT, in the order of the unseen images, (N,) each."""
    table = pq.read_table(labelled / "labels.parquet", columns=AUDIT)
    ids = table["item_id"].to_numpy(zero_copy_only=False).astype(str)
    order = np.argsort(ids)
    place = order[np.searchsorted(ids, test.ids, sorter=order)]
    return {name: table[name].to_numpy(zero_copy_only=False)[place] for name in AUDIT[1:]}


def _without_doubtful(answers: Answers, test: Split, labelled: Path) -> dict[str, object]:
    """Accuracy on the unseen images whose label the audit does not doubt."""
    sure = ~_audit(test, labelled)["doubtful"]
    items, hits = int(sure.sum()), int(answers.right[sure].sum())
    return {"items": items, "value": hits / max(items, 1), "interval": wilson_interval(hits, items)}


def _draw(pixels: np.ndarray, rows: list[dict[str, object]], total: int, path: Path) -> None:
    """pixels: uint8 (n, C, H, W) of the first n errors; what the audit says is the colour of the frame."""
    cells = [
        Cell(
            image,
            f"{row['given']} read as {row['predicted']}, {row['confidence']:.2f}",
            f"audit: {row['suggested']} ({row['score']:.2g})",
            OPINIONS[str(row["opinion"])],
        )
        for image, row in zip(pixels, rows, strict=True)
    ]
    lines = [Line("", cells[start : start + COLUMNS]) for start in range(0, len(cells), COLUMNS)]
    title = (
        f"{len(rows):,} of {total:,} errors on unseen images, the worst first; in brackets the audit's trust "
    )
    contact_sheet.draw(
        lines,
        f"{title}in the given label, 0 to 1" if total else "No errors on unseen images",
        {OPINIONS[name]: meaning for name, meaning in MEANING.items()},
        path,
    )
