"""The trainings that are compared learn, and the comparison says who was sooner."""

import numpy as np
import pytest
import torch

from benchmarks import train
from benchmarks.images import parameters
from benchmarks.train import Run
from pipeline.core.paths import Paths
from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.parameters import Parameters
from tests.image_classification.test_learning import digits, recipe
from tests.imports import ROOT

GUESSING = 0.1
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def split(size: int, seed: int) -> Split:
    pixels, labels = digits(size, seed)
    return Split(pixels, labels, np.arange(size))


@pytest.fixture(scope="module")
def params() -> Parameters:
    shipped = parameters(Paths(ROOT, "digits"))
    names = ("network", "augmentation", "batch_size", "learning_rate")
    small = {name: getattr(recipe(), name) for name in names}
    return shipped.model_copy(update={"train": shipped.train.model_copy(update=small)})


def test_each_of_the_compared_trainings_learns(params: Parameters) -> None:
    seen, unseen = split(600, 0), split(200, 1)
    runs = [
        train.ours(seen, unseen, params, 4, gflops=1.0),
        train.plain(seen, unseen, params, 2),
        train.plain_lightning(seen, unseen, params, 2),
    ]
    for run in runs:
        assert run.accuracy > 4 * GUESSING, run
        assert run.interval[0] <= run.accuracy <= run.interval[1]
        assert run.images_per_second == pytest.approx(600 * run.epochs / run.seconds)


@pytest.mark.parametrize("with_lightning", [True, False])
def test_what_is_timed_trains(
    with_lightning: bool, params: Parameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "OVERHEAD_STEPS", 3)
    made = train.built(split(600, 0), params)
    before = [weight.detach().clone() for weight in made.parameters()]
    monkeypatch.setattr(train, "built", lambda *_: made)
    assert train.stepwise(split(600, 0), params, with_lightning) > 0
    assert not any(torch.equal(old, new) for old, new in zip(before, made.parameters(), strict=True))


def run(recipe: str, seconds: float, accuracy: float) -> Run:
    return Run(recipe, 1, seconds, 1.0, accuracy, (accuracy, accuracy), None)


def test_sooner_counts_the_fastest_run_that_is_as_accurate() -> None:
    plain = run("plain", 80, 0.99)
    ours = [run("this project", 5, 0.98), run("this project", 8, 0.99), run("this project", 20, 0.995)]
    assert train.sooner([*ours, plain]) == 10
    assert train.sooner([ours[0], plain]) is None
