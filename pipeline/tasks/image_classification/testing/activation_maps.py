"""A picture of what each layer makes of one image of each class, from the pixels to the answer."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.parameters import Evaluate
from pipeline.tasks.image_classification.testing import grids, layers
from pipeline.tasks.image_classification.testing.samples import usual_and_hard

if TYPE_CHECKING:
    from torch import nn

MAPS = 3  # by as many maps of a layer are shown
BAR = 40  # pixels of the bar chart of the answer, each way, or one for each class
PALE, DARK = np.array([0.97, 0.97, 0.94]), np.array([0.05, 0.20, 0.45])


def draw(
    limits: Evaluate,
    classes: tuple[str, ...],
    network: "nn.Module",
    looked_at: list[layers.Layer],
    test: Split,
    probabilities: np.ndarray,
    path: Path,
) -> None:
    """A column for each class, a row for each layer. probabilities: float (N, K), of `test`"""
    shown = classes[: limits.attributions.columns]
    chosen = usual_and_hard(test.labels, probabilities, len(shown), 1)
    columns = [k for k, of_class in enumerate(chosen) if len(of_class)]
    where = np.array([chosen[k][0] for k in columns], dtype=np.int64)
    title = "What each layer makes of a usual image of each class"
    if not len(where):
        grids.draw([], f"{title}\nthe network is right about none", path)
        return
    pixels = test.pixels[where]
    rows = [grids.Row(f"pixels: {layers.words(pixels.shape[1:])}", [grids.shown(image) for image in pixels],
                      [shown[k] for k in columns])]  # fmt: skip
    for layer, activation in zip(looked_at, layers.activations(network, looked_at, pixels), strict=True):
        heading = f"layer {layer.number}: {layers.words(activation.shape[1:])}"
        rows.append(grids.Row(heading, _pictured(activation.numpy()), [""] * len(where)))
    answers = probabilities[where]
    captions = [f"{classes[p.argmax()]}: {p.max():.2f}" for p in answers]
    rows.append(grids.Row("answer: probability of each class", [_bars(p) for p in answers], captions))
    grids.draw(
        rows,
        f"{title}\ndark: the layer answers strongly; of maps the {MAPS * MAPS} that tell these images apart "
        "best, the same in each column; of numbers each is a square",
        path,
    )


def _pictured(activation: np.ndarray) -> list[np.ndarray]:
    """(N, C, h, w) or (N, D) as N pictures float (H, W, 3)."""
    if activation.ndim == 2:
        side = int(np.ceil(np.sqrt(activation.shape[1])))
        padded = np.full((len(activation), side * side), np.nan, np.float32)
        padded[:, : activation.shape[1]] = _between_0_and_1(activation, None)
        return [_shaded(values) for values in padded.reshape(-1, side, side)]
    best = np.argsort(-activation.var(0).sum((1, 2)), kind="stable")[: MAPS * MAPS]
    maps = _between_0_and_1(activation[:, np.sort(best)], (0, 2, 3))
    side = int(np.ceil(np.sqrt(maps.shape[1])))
    n, count, height, width = maps.shape
    gap = max(1, height // 12)
    sheet = np.full((n, side * (height + gap) - gap, side * (width + gap) - gap), np.nan, np.float32)
    for i in range(count):
        top, left = i // side * (height + gap), i % side * (width + gap)
        sheet[:, top : top + height, left : left + width] = maps[:, i]
    return [_shaded(values) for values in sheet]


def _between_0_and_1(values: np.ndarray, axis: tuple[int, ...] | None) -> np.ndarray:
    """Over all images alike, so that columns can be compared; each map for itself."""
    low, high = values.min(axis, keepdims=True), values.max(axis, keepdims=True)
    return (values - low) / np.maximum(high - low, np.float32(1e-12))


def _shaded(values: np.ndarray) -> np.ndarray:
    """float (H, W) in [0, 1] as colours; NaN is white."""
    share = values[..., None]
    return np.where(np.isnan(share), 1.0, PALE + share * (DARK - PALE))


def _bars(probabilities: np.ndarray) -> np.ndarray:
    """A bar for each class, as a square picture float (S, S, 3)."""
    wide = max(1, BAR // len(probabilities))
    side = wide * len(probabilities)
    filled = np.arange(side)[::-1, None] < np.rint(probabilities * side)
    return _shaded(np.repeat(filled.astype(np.float32), wide, axis=1))
