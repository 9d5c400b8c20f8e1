"""How often the network is right: over all images, and in each class.

Every interval is of 95 %, over images. Shares (accuracy, recall, precision) have Wilson's; what is made of
several shares (balanced accuracy, F1) is computed anew on resampled confusion matrices, means on resampled
images.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipeline.core.gates import Gate
from pipeline.core.pictures import ACCENT, figure
from pipeline.core.statistics import Interval, bootstrap_mean_interval, wilson_interval
from pipeline.tasks.image_classification.parameters import Evaluate, Goals
from pipeline.tasks.image_classification.testing.answers import Answers
from pipeline.testing.evaluation import Part

SMALLEST_PROBABILITY = 1e-12  # so that the logarithm of a certain mistake is finite
SHARES = ("recall", "precision", "f1")
CLASSES_SHOWN = 40  # of the lowest recall, in classes.png
CELLS_WRITTEN = 30  # classes up to which the confusion matrix is drawn with its counts
HEADLINES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "brier_score")


def measure(answers: Answers, classes: tuple[str, ...], limits: Evaluate, goals: Goals, folder: Path) -> Part:
    """Writes classes.csv, classes.png, confusion.csv and confusion.png."""
    matrix = confusion(answers, len(classes))
    figures = _figures(answers, matrix, limits)
    rows = _of_each_class(answers, classes, matrix, limits)
    worst = min((row for row in rows if row["items"]), key=lambda row: float(row["recall"]))
    accuracy, interval = figures["accuracy"]
    pa.csv.write_csv(pa.Table.from_pylist(rows), folder / "classes.csv")
    np.savetxt(
        folder / "confusion.csv", matrix, fmt="%d", delimiter=",", header=",".join(classes), comments=""
    )
    _draw_confusion(matrix, classes, folder / "confusion.png")
    _draw_classes(rows, folder / "classes.png")
    worst_interval = (worst["recall_low"], worst["recall_high"])
    return Part(
        metrics={name: figures[name][0] for name in HEADLINES} | {"worst_class_recall": worst["recall"]},
        intervals={name: figures[name][1] for name in HEADLINES} | {"worst_class_recall": worst_interval},
        gates=(
            Gate("accuracy", accuracy, "at least", goals.accuracy_min, "training",
                 "train longer or a larger network; look at evaluation/errors.png.", interval),
            Gate("worst_class_recall", worst["recall"], "at least", goals.class_recall_min, "data",
                 f"collect or relabel more of class {worst['class']!r}.", worst_interval),
        ),
        details={
            "items": len(answers),
            "figures": {name: {"value": each, "interval": ends} for name, (each, ends) in figures.items()},
            "classes": rows,
        },
    )  # fmt: skip


def sentence(part: Part) -> str:
    low, high = part.intervals["accuracy"]
    items = part.details["items"]
    return f"accuracy {part.metrics['accuracy']:.4f} [{low:.4f}, {high:.4f}] on {items:,} unseen images"


def confusion(answers: Answers, classes: int) -> np.ndarray:
    """int64 (K, K): how many images of the class of the row are taken for that of the column."""
    cells = np.bincount(answers.labels * classes + answers.predicted, minlength=classes**2)
    return cells.reshape(classes, classes)


def brier(answers: Answers) -> np.ndarray:
    """float64 (N,) in [0, 2]: squared distance of all probabilities to the truth (Brier 1950)."""
    of_label = answers.of_label
    return np.asarray(np.square(answers.probabilities).sum(1) - 2 * of_label + 1)


def log_losses(of_label: np.ndarray) -> np.ndarray:
    """float64 (N,), nats. of_label: float (N,), the probability of the true class"""
    return np.asarray(-np.log(np.maximum(of_label, SMALLEST_PROBABILITY)))


def top(answers: Answers, places: int) -> np.ndarray:
    """bool (N,): the true class is among the `places` likeliest; ties count against it."""
    before = (answers.probabilities >= answers.of_label[:, None]).sum(1)
    return np.asarray(before <= places)


def macro(correct: np.ndarray, of_class: np.ndarray, taken_for: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Balanced accuracy and macro F1, float64 (...,).

    correct, of_class, taken_for: counts (..., K): images of each class that are recognised, that there are,
    that are taken for it. Classes that do not occur do not count.
    """
    recall = correct / np.maximum(of_class, 1)
    f1 = 2 * correct / np.maximum(of_class + taken_for, 1)
    present, met = of_class > 0, of_class + taken_for > 0
    return recall.sum(-1) / present.sum(-1), f1.sum(-1) / met.sum(-1)


def _figures(answers: Answers, matrix: np.ndarray, limits: Evaluate) -> dict[str, tuple[float, Interval]]:
    """Each figure over all images, and its interval."""
    total, right = len(answers), int(answers.right.sum())
    found = {"accuracy": (right / total, wilson_interval(right, total))}
    balanced, f1 = macro(np.diag(matrix), matrix.sum(1), matrix.sum(0))
    drawn_balanced, drawn_f1 = macro(*_resampled(answers, len(matrix), limits))
    found["balanced_accuracy"] = float(balanced), _middle(drawn_balanced)
    found["macro_f1"] = float(f1), _middle(drawn_f1)
    if len(matrix) > 2:
        among = int(top(answers, 2).sum())
        found["top_2_accuracy"] = among / total, wilson_interval(among, total)
    for name, each in (("log_loss", log_losses(answers.of_label)), ("brier_score", brier(answers))):
        found[name] = float(each.mean()), bootstrap_mean_interval(each, draws=limits.draws, seed=limits.seed)
    return found


def _of_each_class(
    answers: Answers, classes: tuple[str, ...], matrix: np.ndarray, limits: Evaluate
) -> list[dict[str, Any]]:
    """A row each; a share of no images is null."""
    correct, of_class, taken_for = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    drawn, drawn_of_class, drawn_taken_for = _resampled(answers, len(classes), limits)
    drawn_f1 = 2 * drawn / np.maximum(drawn_of_class + drawn_taken_for, 1)
    rows = []
    for k, name in enumerate(classes):
        hits, there, said = int(correct[k]), int(of_class[k]), int(taken_for[k])
        shares = {
            "recall": (hits / there, wilson_interval(hits, there)) if there else None,
            "precision": (hits / said, wilson_interval(hits, said)) if said else None,
            "f1": (2 * hits / (there + said), _middle(drawn_f1[:, k])) if there + said else None,
        }
        row: dict[str, Any] = {"class": name, "items": there, "predicted": said}
        for share, found in shares.items():
            value, (low, high) = found or (None, (None, None))
            row |= {share: value, f"{share}_low": low, f"{share}_high": high}
        rows.append(row)
    return rows


def _resampled(answers: Answers, classes: int, limits: Evaluate) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `macro` takes, float64 (draws, K) each, of images drawn with replacement.

    A resampled confusion matrix is a multinomial draw over the cells that occur: the same distribution as
    drawing images, for less.
    """
    from scipy.sparse import csr_array

    cells, counts = np.unique(answers.labels * classes + answers.predicted, return_counts=True)
    true, said = np.divmod(cells, classes)
    rng = np.random.default_rng(limits.seed)
    drawn = rng.multinomial(len(answers), counts / len(answers), size=limits.draws).astype(np.float64)

    def per_class(of: np.ndarray, which: np.ndarray) -> np.ndarray:
        place = csr_array((which.astype(np.float64), (np.arange(len(of)), of)), shape=(len(of), classes))
        return np.asarray((place.T @ drawn.T).T)

    everything = np.ones(len(cells))
    return per_class(true, true == said), per_class(true, everything), per_class(said, everything)


def _middle(drawn: np.ndarray) -> Interval:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _draw_classes(rows: list[dict[str, Any]], path: Path) -> None:
    """Recall, precision and F1 of each class side by side, the lowest recall on top."""
    shown = sorted((row for row in rows if row["items"]), key=lambda row: float(row["recall"]))
    shown = shown[:CLASSES_SHOWN]
    fig = figure(9, 0.27 * len(shown) + 1.2)
    axes = fig.subplots(1, len(SHARES), sharey=True)
    for ax, share in zip(axes, SHARES, strict=True):
        there = [(place, row) for place, row in enumerate(shown) if row[share] is not None]
        places = [place for place, _ in there]
        low, high = ([row[f"{share}_{end}"] for _, row in there] for end in ("low", "high"))
        ax.hlines(places, low, high, color=ACCENT, lw=2)
        ax.plot([row[share] for _, row in there], places, "o", color=ACCENT, ms=4)
        ax.set_title(share.upper() if share == "f1" else share, fontsize=10)
        ax.grid(alpha=0.3, axis="x")
        ax.tick_params(labelsize=8)
        ax.locator_params(axis="x", nbins=4)
    axes[0].set_yticks(range(len(shown)), [f"{row['class']}  ({row['items']:,})" for row in shown])
    axes[0].set_ylabel("class (unseen images)", fontsize=9)
    axes[0].invert_yaxis()
    fig.savefig(path)


def _draw_confusion(matrix: np.ndarray, classes: tuple[str, ...], path: Path) -> None:
    """matrix: int (K, K), rows true, columns predicted; only the mistakes are coloured."""
    side = min(max(6.0, 0.42 * len(classes)), 16.0)
    fig = figure(side, side * 0.9)
    ax = fig.subplots()
    mistakes = matrix * (1 - np.eye(len(matrix), dtype=int))
    ax.imshow(mistakes, cmap="Reds", vmin=0, vmax=max(1, mistakes.max()))
    for (i, j), count in np.ndenumerate(matrix if len(classes) <= CELLS_WRITTEN else matrix[:0]):
        if count:
            dark = mistakes[i, j] > mistakes.max() / 2
            ax.text(
                j, i, str(count), ha="center", va="center", fontsize=7, color="white" if dark else "black"
            )
    long = max(len(name) for name in classes) > 3
    ax.set(xlabel="predicted", ylabel="true", title="Unseen images: mistakes in red")
    ax.set_xticks(range(len(classes)), classes, rotation=90 if long else 0, fontsize=8)
    ax.set_yticks(range(len(classes)), classes, fontsize=8)
    fig.savefig(path)
