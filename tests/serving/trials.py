"""Challengers that behave and that do not, and what a trial of theirs is."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.core.serve_parameters import Serve, Trial
from serving import trial as trials
from serving.image_application import ImageState
from serving.image_model import ImageModel
from serving.image_trial import ImageTask
from tests.serving.synthetic import SETTINGS

Compute = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Odd(ImageModel):
    """An image model whose answers are what the test wants."""

    compute: Compute | None = None

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        assert self.compute is not None
        return self.compute(images)


def odd(model: ImageModel, compute: Compute, version: str = "4") -> ImageModel:
    return Odd(
        name=model.name, version=version, sha256="c" * 64, classes=model.classes, image=model.image,
        session=model.session, compute=compute,
    )  # fmt: skip


def alike(model: ImageModel) -> ImageModel:
    """The champion's equal under another name."""
    return odd(model, model.probabilities)


def broken(_: np.ndarray) -> np.ndarray:
    raise RuntimeError("the network is broken")


def settings(**changes: Any) -> Trial:
    """As `digits` ships it, with changes; times are not judged unless a test says so."""
    bounds = SETTINGS.trial.bounds.model_copy(update={"latency_ratio_max": 1e6, "latency_ms_max": 1e6})
    return Trial(**(SETTINGS.trial.model_dump() | {"bounds": bounds.model_dump()} | changes))


def serve(trial: Trial) -> Serve:
    return SETTINGS.model_copy(update={"trial": trial})


def begin(state: ImageState, **changes: Any) -> trials.Trial[ImageModel, np.ndarray, np.ndarray]:
    """A trial of the state's challenger that has begun."""
    made = trials.begin(settings(**changes), state, ImageTask(), state.log.url, state.log.project)
    assert made is not None
    state.trial = made
    if state.challenger is not None:
        wait_until(lambda: made.describe()["state"] != "waiting")
    return made


def wait_until(holds: Callable[[], Any], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
