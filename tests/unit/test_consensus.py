"""Labels of several people: reading them, how far they agree, what they and a model say together."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import softmax

from pipeline.core.errors import SourceError
from pipeline.labels import annotations, consensus

CLASSES = 4
NAN = float("nan")


def simulated(signal: float, images: int = 1000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth; labels of five annotators, three an image, right with known probabilities; a calibrated model:
    it sees `signal` at the true class, in normal noise. It is right 40 % of the time at 0.5, 91 % at 2.5."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, CLASSES, images)

    def answers(accuracy: float) -> np.ndarray:
        error = (truth + rng.integers(1, CLASSES, images)) % CLASSES
        return np.where(rng.random(images) < accuracy, truth, error)

    given = np.stack([answers(accuracy) for accuracy in (0.9, 0.8, 0.7, 0.6, 0.5)], axis=1)
    looked = rng.random(given.shape).argsort(axis=1) < 3
    seen = signal * np.eye(CLASSES)[truth] + rng.normal(size=(images, CLASSES))
    return truth, np.where(looked, given, NAN), softmax(signal * seen, axis=1)


def test_votes_and_majority() -> None:
    labels = np.array([[0, 0, 2], [1, NAN, 3], [NAN, NAN, 2]])
    counted = consensus.votes(labels, CLASSES)
    assert counted.tolist() == [[2, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]]
    tie_break = np.eye(CLASSES)[[2, 3, 0]]
    assert consensus.majority(counted, tie_break).tolist() == [0, 3, 2]


def test_alpha_of_a_case_worked_out_by_hand() -> None:
    """Two annotators, ten units, one disagreement: coincidences o01 = o10 = 1, n0 = 9, n1 = 11, n = 20;
    alpha = 1 - (n - 1) * o01 / (n0 * n1)."""
    labels = np.array([[0, 0]] * 4 + [[1, 1]] * 5 + [[0, 1]], dtype=float)
    alone = np.array([[2, NAN]])  # says nothing
    counted = consensus.votes(np.concatenate([labels, alone]), CLASSES)
    assert consensus.krippendorff_alpha(counted) == pytest.approx(1 - 19 * 1 / (9 * 11))


def test_alpha_of_one_class_alone_shows_nothing() -> None:
    assert np.isnan(consensus.krippendorff_alpha(consensus.votes(np.zeros((5, 2)), CLASSES)))


def test_the_consensus_is_better_than_the_majority_and_knows_who_is_reliable() -> None:
    truth, given, probabilities = simulated(signal=2.5)
    found = consensus.merge(given, probabilities)
    plain = consensus.majority(consensus.votes(given, CLASSES), probabilities)
    assert found.method == "crowdlab"
    assert (found.labels == truth).mean() > (plain == truth).mean()
    assert (found.quality[found.labels == truth].mean()) > found.quality[found.labels != truth].mean()
    assert np.argsort(-found.annotator_quality).tolist() == [0, 1, 2, 3, 4]
    assert found.items.sum() == 3 * len(truth) and found.labels_per_item.tolist() == [3] * len(truth)
    told = found.told(annotators_per_item=4)
    assert told["items_with_too_few"] == len(truth) and told["labels_per_item"] == 3


def test_a_weak_model_only_decides_between_equals() -> None:
    truth, given, probabilities = simulated(signal=0.5)
    found = consensus.merge(given, probabilities)
    assert found.method == "majority" and found.model_accuracy < found.annotators_agreement
    plain = consensus.majority(consensus.votes(given, CLASSES), probabilities)
    assert (found.labels == plain).all()
    assert (found.labels == truth).mean() > 0.7


def test_one_label_an_item_stands_as_it_is() -> None:
    labels = np.array([[0, NAN], [NAN, 3]])
    probabilities = np.array([[0.7, 0.1, 0.1, 0.1], [0.4, 0.3, 0.1, 0.2]])
    found = consensus.merge(labels, probabilities)
    assert found.method == "single" and found.labels.tolist() == [0, 3]
    assert found.quality.tolist() == [0.7, 0.2] == found.annotator_quality.tolist()
    assert found.told(1)["alpha"] is None


def test_annotators_are_written_the_least_reliable_first(tmp_path: Path) -> None:
    labels = np.array([[0, NAN], [NAN, 3]])
    found = consensus.merge(labels, np.array([[0.7, 0.1, 0.1, 0.1], [0.4, 0.3, 0.1, 0.2]]))
    consensus.write_annotators(tmp_path / "a.csv", ("ann", "bob"), found)
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines == ['"annotator","items","agreement","quality"', '"bob",1,1,0.2', '"ann",1,1,0.7']


IDS, NAMES = ["a", "b", "c"], ["01", "1"]


def test_annotations_are_read_as_text_from_both_formats(tmp_path: Path) -> None:
    rows = [("c", "7", "01"), ("a", "7", "1"), ("a", "10", "01")]
    table = pa.table([list(column) for column in zip(*rows, strict=True)], list(annotations.COLUMNS))
    pq.write_table(table, tmp_path / "p.parquet")
    lines = [",".join(row) for row in (annotations.COLUMNS, *rows)]
    (tmp_path / "p.csv").write_text("\n".join(lines) + "\n")
    for name in ("p.csv", "p.parquet"):
        found = annotations.read(tmp_path / name, IDS, NAMES)
        assert found.rows.tolist() == [0, 2] and found.annotators == ("10", "7")
        assert np.array_equal(found.labels, np.array([[0, 1], [NAN, 0]]), equal_nan=True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("item_id,annotator\na,x\n", "it must have rows, and the columns item_id, annotator, label"),
        ("item_id,annotator,label\n", "0 rows"),
        ("item_id,annotator,label\nz,x,1\n", r"no item 'z' was collected; .* 'a'"),
        ("item_id,annotator,label\na,x,2\n", r"item 'a' has the label '2', .* allowed are 01, 1"),
        ("item_id,annotator,label\na,,1\n", "annotator ''"),
        ("item_id,annotator,label\na,x,1\na,x,01\n", "'x' labelled item 'a' twice"),
        ("item_id,annotator,label\na\n", "not a table of text"),
    ],
)
def test_annotations_that_cannot_be_are_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(SourceError, match=rf"p\.csv: .*{told}"):
        annotations.read(tmp_path / "p.csv", IDS, NAMES)


def test_no_annotations_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"p\.csv: no such file\. .* label\.annotations to null"):
        annotations.read(tmp_path / "p.csv", IDS, NAMES)
