"""Labels of images: what the audit finds, what corrections and annotators change."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from scipy.stats import hypergeom

from pipeline.core.errors import SourceError
from pipeline.core.findings import Findings
from pipeline.core.paths import Paths
from pipeline.labels import corrections
from pipeline.labels.corrections import Correction
from pipeline.tasks.image_classification import label as stage
from pipeline.tasks.image_classification.learning import label_audit
from pipeline.tasks.image_classification.learning.margins import margins
from pipeline.tasks.image_classification.parameters import Collect, Label
from tests import collected_images, synthetic_digits
from tests.imports import ROOT

IMAGES, WRONG = 600, 30
REMEMBERED: dict[tuple[int, ...], label_audit.Judgement] = {}
NOBODY = np.zeros(IMAGES, dtype=bool)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def sections(**changes: Any) -> tuple[Label, Collect]:
    project = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"]["digits"]
    section = project["label"] | {"draws": 200, "queue_min": 0} | changes
    section["recipe"]["network"] |= {"stem_channels": 8, "channels": [8, 16]}
    section["recipe"] |= {"epochs": 6, "batch_size": 16, "learning_rate": 0.1, "precision": "float32"}
    return Label.model_validate(section), Collect.model_validate(project["collect"])


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels, true labels, and labels of which WRONG are another class."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(IMAGES) % 10)
    noisy = labels.copy()
    wrong = rng.choice(IMAGES, WRONG, replace=False)
    noisy[wrong] = (labels[wrong] + rng.integers(1, 10, WRONG)) % 10
    return synthetic_digits.draw(labels, rng)[:, None], labels, noisy


@pytest.fixture(scope="module")
def judged(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> label_audit.Judgement:
    pixels, _, noisy = drawn
    return label_audit.out_of_fold(pixels, noisy, *sections())


def test_the_margin_of_a_label_is_its_logit_minus_the_best_other() -> None:
    logits = torch.tensor([[1.0, 4.0, 2.0], [1.0, 4.0, 2.0], [3.0, 3.0, -1.0]])
    assert margins(logits, torch.tensor([1, 2, 0])).tolist() == [2.0, -2.0, 0.0]


def test_the_area_under_the_margin_is_the_mean_over_the_epochs_of_training(
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: every margin that a forward pass of training gave, written down with the image's number."""
    from pipeline.tasks.image_classification.learning import fitting

    pixels, _, noisy = drawn
    pixels, noisy = pixels[:40].copy(), noisy[:40]
    pixels[:, 0, 0, 0] = np.arange(40)  # so that a batch says which images it holds
    seen: dict[int, list[float]] = {}
    original = fitting.Classifier.training_step

    def spied(self: Any, batch: Any, index: int) -> Any:
        found = original(self, batch, index)
        for image, label, logits in zip(
            batch[0][:, 0, 0, 0].tolist(), batch[1], found["logits"], strict=True
        ):
            others = [float(z) for k, z in enumerate(logits) if k != label]
            seen.setdefault(int(image), []).append(float(logits[label]) - max(others))
        return found

    monkeypatch.setattr(fitting.Classifier, "training_step", spied)
    params, collect = sections(folds=4)
    result = label_audit.out_of_fold(pixels, noisy, params, collect)
    # 30 images train in batches of 16, so an epoch leaves 14 out; three networks of six epochs each.
    assert {len(values) for values in seen.values()} <= set(range(1, 19)) and len(seen) == 40
    assert sum(map(len, seen.values())) == 4 * params.recipe.epochs * 16
    assert result.aum == pytest.approx([np.mean(seen[i]) for i in range(40)], rel=1e-4, abs=1e-5)


def test_an_image_that_every_epoch_left_out_is_ranked_by_confidence_alone() -> None:
    aum = np.array([np.nan, 5.0, -5.0, 0.0])
    confidence = np.array([0.9, 0.8, 0.1, 0.5])
    assert label_audit.scores(aum, confidence) == pytest.approx(
        [1.0, (1 + 2 / 3) / 2, 0.0, (0.5 + 1 / 3) / 2]
    )


def test_injected_errors_come_first(
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray], judged: label_audit.Judgement
) -> None:
    """The bound is chance: 30 of 600 images drawn blindly hold 1.5 of the 30 errors; as many as are found
    would be met less than once in a milliard draws (hypergeometric distribution)."""
    _, labels, noisy = drawn
    wrong = noisy != labels
    score = label_audit.scores(judged.aum, judged.probabilities[np.arange(IMAGES), noisy])
    assert score.min() >= 0 and score.max() <= 1
    hits = int(wrong[np.argsort(score)[:WRONG]].sum())
    assert hypergeom.sf(hits - 1, IMAGES, WRONG, WRONG) < 1e-9
    queue = label_audit.doubtful(noisy, judged.probabilities, score, NOBODY)
    assert queue[wrong].mean() > 0.8 and wrong[queue].mean() > 5 * wrong.mean()
    assert not (label_audit.doubtful(noisy, judged.probabilities, score, wrong) & wrong).any()


def test_the_audit_is_the_same_twice(
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray], judged: label_audit.Judgement
) -> None:
    again = label_audit.out_of_fold(drawn[0], drawn[2], *sections())
    assert np.array_equal(again.probabilities, judged.probabilities)
    assert np.array_equal(again.aum, judged.aum, equal_nan=True)


@pytest.fixture
def paths(tmp_path: Path, drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Paths:
    found = Paths(tmp_path, "digits")
    found.collected.mkdir(parents=True)
    collected_images.write(found.collected, {"train": (drawn[0], drawn[2])})
    return found


@pytest.fixture(autouse=True)
def trainings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The labels that the audit's networks were asked to learn; the same ones are learnt once a session."""
    if "paths" not in request.fixturenames:
        return []
    asked: list[tuple[int, ...]] = []
    original = label_audit.out_of_fold

    def remembered(pixels: np.ndarray, labels: np.ndarray, *sections: Any) -> label_audit.Judgement:
        asked.append(tuple(labels.tolist()))
        if asked[-1] not in REMEMBERED:
            REMEMBERED[asked[-1]] = original(pixels, labels, *sections)
        return REMEMBERED[asked[-1]]

    monkeypatch.setattr(label_audit, "out_of_fold", remembered)
    monkeypatch.setattr(stage, "GALLERY", 3)
    return asked


def run(paths: Paths, **changes: Any) -> Findings:
    label, collect = sections(**changes)
    paths.labelled.mkdir(exist_ok=True)
    return stage.label(SimpleNamespace(label=label, collect=collect), paths, paths.labelled)


def queue(paths: Paths) -> list[dict[str, str]]:
    with (paths.labelled / "queue.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_corrections_count_show_what_they_bring_and_are_not_queued_again(
    paths: Paths, drawn: tuple[np.ndarray, np.ndarray, np.ndarray], trainings: list[tuple[int, ...]]
) -> None:
    _, labels, noisy = drawn
    first = run(paths)
    assert len(trainings) == 1 and "accuracy_before" not in first.metrics
    queued = queue(paths)
    assert list(queued[0]) == [
        "item_id", "source", "source_index", "split", "given", "suggested", "score", "rank",
    ]  # fmt: skip
    scores = [float(row["score"]) for row in queued]
    assert scores == sorted(scores) and [row["rank"] for row in queued[:2]] == ["1", "2"]
    ids = [row["item_id"] for row in queued]
    truth = {item: str(labels[int(item.split(":")[2])]) for item in ids}
    corrections.write(paths.corrections, {item: Correction(name, "me") for item, name in truth.items()})

    second = run(paths)
    assert len(trainings) == 3
    table = pq.read_table(paths.labelled / "labels.parquet").to_pandas().set_index("item_id")
    assert table.loc[ids, "label"].astype(str).tolist() == list(truth.values())
    assert table["given"].tolist() == noisy.tolist()
    assert table["corrected"].sum() == len(ids) and not table.loc[ids, "doubtful"].any()
    assert not set(ids) & {row["item_id"] for row in queue(paths)}
    audit = json.loads((paths.labelled / "audit.json").read_text())
    effect = audit["effect_of_corrections"]
    assert audit["changed"] == sum(str(noisy[int(i.split(":")[2])]) != truth[i] for i in ids)
    assert effect["gain"] == pytest.approx(effect["accuracy_after"] - effect["accuracy_before"])
    assert effect["interval"][0] <= effect["gain"] <= effect["interval"][1]
    assert effect["doubtful_after"] < effect["doubtful_before"]
    assert second.metrics["accuracy_after"] == effect["accuracy_after"]
    assert "labels corrected: accuracy out of fold" in second.summary


def test_a_short_queue_is_filled_up_with_the_next_worst(paths: Paths) -> None:
    doubtful = run(paths).metrics["doubtful"]
    first = [row["item_id"] for row in queue(paths)]
    assert len(first) == doubtful < 100
    run(paths, queue_min=100)
    more = queue(paths)
    assert len(more) == 100 and [row["item_id"] for row in more[: len(first)]] == first
    rest = [float(row["score"]) for row in more[len(first) :]]
    assert rest == sorted(rest)
    assert run(paths, queue_min=100, queue_max=3).metrics["queued"] == 3


def test_a_confirmed_label_is_not_queued_and_nothing_is_trained_twice(
    paths: Paths, trainings: list[tuple[int, ...]]
) -> None:
    run(paths)
    first = queue(paths)[0]
    corrections.write(paths.corrections, {first["item_id"]: Correction(first["given"], "me")})
    found = run(paths)
    assert len(trainings) == 2 and trainings[0] == trainings[1]
    assert found.metrics["changed"] == 0 and "1 labels looked at" in found.summary
    assert first["item_id"] not in {row["item_id"] for row in queue(paths)}


@pytest.mark.parametrize(
    ("item", "name", "told"),
    [
        ("drawn:train:9999", "1", r"digits\.csv: no item 'drawn:train:9999' .* 'drawn:train:0'"),
        ("drawn:train:7", "ten", r"digits\.csv: item 'drawn:train:7' .* 'ten', .* allowed are 0, 1, 2, 3"),
    ],
)
def test_a_correction_that_cannot_be_is_told(paths: Paths, item: str, name: str, told: str) -> None:
    corrections.write(paths.corrections, {item: Correction(name, "me")})
    with pytest.raises(SourceError, match=told):
        run(paths)


def test_annotators_are_merged_and_their_agreement_is_a_gate(
    paths: Paths, drawn: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    labels, rng = drawn[1], np.random.default_rng(3)
    paths.corrections.parent.mkdir()
    with (paths.root / "labels/people.csv").open("w") as file:
        file.write("item_id,annotator,label\n")
        for name, accuracy in (("ann", 0.95), ("bob", 0.9), ("cy", 0.2)):
            right = rng.random(200) < accuracy
            for i in range(200):
                file.write(f"drawn:train:{i},{name},{labels[i] if right[i] else rng.integers(10)}\n")
    found = run(paths, annotations="labels/people.csv")
    table = pq.read_table(paths.labelled / "labels.parquet").to_pandas()
    assert (table["label"][:200] == labels[:200]).mean() > 0.9
    assert table["quality"][:200].between(0, 1).all() and table["quality"][200:].isna().all()
    with (paths.labelled / "annotators.csv").open(newline="") as file:
        people = list(csv.DictReader(file))
    assert people[0]["annotator"] == "cy" and {row["items"] for row in people} == {"200"}
    assert list(people[0]) == ["annotator", "items", "agreement", "quality"]
    (gate,) = found.gates
    assert gate.name == "annotators_agreement" and not gate.passed and gate.revisit == "data"
    audit = json.loads((paths.labelled / "audit.json").read_text())
    assert audit["annotations"]["alpha"] == gate.value
    assert run(paths, annotations="labels/people.csv", policy=lenient()).gates[0].passed


def lenient() -> dict[str, Any]:
    return {"guidelines": "g", "labelled_by": "b", "annotators_per_item": 1, "min_agreement": 0.1}
