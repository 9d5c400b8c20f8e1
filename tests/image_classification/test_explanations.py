"""Attributions tell what a network looks at, their checks can fail, and every network goes through."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from pipeline.tasks.image_classification.data.dataset import Split
from pipeline.tasks.image_classification.learning import fitting
from pipeline.tasks.image_classification.parameters import Evaluate, Image
from pipeline.tasks.image_classification.testing import (
    activation_maps,
    attribution_pictures,
    attributions,
    layers,
    representations,
)
from pipeline.tasks.image_classification.testing.attribution_methods import integrated_gradients, occlusion
from pipeline.tasks.image_classification.testing.deletion import deletion
from tests.image_classification.answering import exported
from tests.image_classification.test_learning import MLP, RESNET, digits, every_network, network, recipe
from tests.image_classification.test_robustness import SHIPPED

pytestmark = pytest.mark.filterwarnings(  # of Lightning, about the short trainings here
    "ignore:You defined a .validation_step.", "ignore:.*LeafSpec.:FutureWarning"
)
PERCEPTRON: dict[str, object] = {"name": "perceptron", "initialisation": "xavier"}
CLASSES = tuple("0123456789")
LIMITS = Evaluate.model_validate(
    SHIPPED
    | {
        "draws": 100,
        "attributions": SHIPPED["attributions"] | {"images": 20, "steps": 16, "columns": 4},
        "representations": {"images": 60, "layers": 4},
    }
)


@pytest.fixture(scope="module")
def trained() -> torch.nn.Module:
    made = network(params=MLP)
    plain = recipe(network=MLP, augmentation=None, epochs=6)
    fitting.fit(made, plain, 1, digits(400))
    return made.eval().requires_grad_(False)


def corner() -> torch.nn.Module:
    """A perceptron that looks at nothing but the upper left corner, 6 x 6 pixels."""
    made = network(params=PERCEPTRON).requires_grad_(False)
    (layer,) = (module for module in made.modules() if isinstance(module, torch.nn.Linear))
    weights = layer.weight.view(10, 28, 28)
    weights[:, 6:], weights[:, :, 6:] = 0, 0
    return made.eval()


def test_what_looks_at_one_corner_is_shown_to_look_there() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 1, 28, 28), dtype=np.uint8)
    targets = np.arange(12) % 10
    gradients, unexplained = integrated_gradients(corner(), pixels, targets, 2)
    assert gradients.shape == (12, 28, 28) and unexplained < 1e-4  # a sum is its own integral
    assert np.abs(gradients[:, :6, :6]).max() > 0
    assert not gradients[:, 6:].any() and not gradients[:, :, 6:].any()
    hidden = occlusion(corner(), pixels, targets)
    assert np.abs(hidden[:, :6, :6]).max() > 0
    assert np.abs(hidden[:, 13:, 13:]).max() < 1e-4


def test_attributions_of_a_linear_network_are_weight_times_difference_to_the_blank_image() -> None:
    made, (pixels, labels) = network(params=PERCEPTRON).eval().requires_grad_(False), digits(5)
    found, _ = integrated_gradients(made, pixels, labels, 4)
    (layer,) = (module for module in made.modules() if isinstance(module, torch.nn.Linear))
    weights = layer.weight.numpy().reshape(10, 28, 28)[labels] / (255 * 0.3)
    blank = np.median(pixels, axis=(2, 3), keepdims=True)
    assert found == pytest.approx((weights[:, None] * (pixels - blank))[:, 0], abs=1e-5)


def test_more_steps_explain_more(trained: torch.nn.Module) -> None:
    pixels, labels = digits(20, seed=5)
    few, many = (integrated_gradients(trained, pixels, labels, steps)[1] for steps in (2, 64))
    assert many < 0.02 and many < few / 2


def test_parts_of_a_few_images_give_the_same(
    trained: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, labels = digits(7, seed=5)
    whole, _ = integrated_gradients(trained, pixels, labels, 16)
    whole_hidden = occlusion(trained, pixels, labels)
    monkeypatch.setattr("pipeline.tasks.image_classification.testing.attribution_methods.VALUES", 5 * 784)
    assert integrated_gradients(trained, pixels, labels, 16)[0] == pytest.approx(whole, abs=1e-3)
    assert occlusion(trained, pixels, labels) == pytest.approx(whole_hidden, abs=1e-3)


def test_deletion_tells_attributions_from_their_opposite_and_from_noise(trained: torch.nn.Module) -> None:
    pixels, _ = digits(60, seed=6)
    deployed = exported(trained)
    answers = deployed.run(pixels, "logits").argmax(1)
    found, _ = integrated_gradients(trained, pixels, answers, 16)
    noise = np.random.default_rng(1).random(found.shape)
    right, opposite, random = (
        deletion(deployed, pixels, answers, order, 0).gain.mean() for order in (found, -found, noise)
    )
    assert right > 0.1 > abs(random) and opposite < -0.05


@every_network
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 28, 28), (3, 20, 33)])
def test_every_network_is_explained(
    params: dict[str, object], channels: Literal[1, 3], height: int, width: int
) -> None:
    made = network(image=Image(height=height, width=width, channels=channels), params=params)
    made.eval().requires_grad_(False)
    pixels = np.random.default_rng(0).integers(0, 256, (12, channels, height, width), dtype=np.uint8)
    targets = np.arange(12) % 10
    found, unexplained = integrated_gradients(made, pixels, targets, 24)
    assert found.shape == (12, height, width) and np.isfinite(found).all() and found.any()
    assert 0 <= unexplained < 0.2
    hidden = occlusion(made, pixels, targets)
    assert hidden.shape == (12, height, width) and np.isfinite(hidden).all() and hidden.any()
    looked_at = layers.of(made, 3)
    features = layers.features(made, looked_at, pixels)
    assert len(features) == len(looked_at) + 1
    for of_layer in features:
        assert len(of_layer) == 12 and of_layer.reshape(12, -1).shape[1] <= layers.FEATURES
        plane = representations.plane(of_layer, targets % 3, of_layer, 0)
        assert plane.shape == (12, 2) and np.isfinite(plane).all()


@pytest.mark.parametrize("params", [PERCEPTRON, RESNET], ids=lambda params: params["name"])
def test_pictures_and_tables_are_written(params: dict[str, object], tmp_path: Path) -> None:
    made = network(params=params).eval().requires_grad_(False)
    pixels, labels = digits(80)
    split, deployed = Split(pixels, labels, np.arange(80).astype(str)), exported(made)
    probabilities = deployed.run(pixels, "probabilities")
    explained = attributions.explain(LIMITS, CLASSES, made, deployed, split, probabilities, tmp_path)
    assert [gate.name for gate in explained.gates] == ["attribution_unexplained", "attribution_deletion_gain"]
    looked = representations.look(LIMITS, CLASSES, made, split, split, probabilities, tmp_path)
    rows = looked.details["separability"]
    assert rows[0]["numbers"] == 784 and rows[-1]["numbers"] == 10
    assert {path.name for path in tmp_path.iterdir()} == {
        "attributions.png", "attributions_of_errors.png", "deletion.png",
        "activations.png", "classes_by_depth.png", "separability.csv",
    }  # fmt: skip


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_a_network_that_is_never_or_always_right_is_drawn_too(right: float, tmp_path: Path) -> None:
    made, (pixels, labels) = network(params=PERCEPTRON).eval().requires_grad_(False), digits(20)
    probabilities = np.eye(10)[(labels + (right == 0)) % 10]
    split = Split(pixels, labels, labels.astype(str))
    asked = (LIMITS.attributions, CLASSES, made, split, probabilities)
    attribution_pictures.draw_right(*asked, tmp_path / "right.png")
    attribution_pictures.draw_errors(*asked, tmp_path / "errors.png")
    every = layers.of(made, 5)
    activation_maps.draw(LIMITS, CLASSES, made, every, split, probabilities, tmp_path / "maps.png")
    assert len(list(tmp_path.iterdir())) == 3


@every_network
def test_the_layers_are_those_with_weights_and_the_last_are_the_logits(params: dict[str, object]) -> None:
    made, (pixels, _) = network(params=params).eval().requires_grad_(False), digits(3)
    every = layers.of(made, 100)
    expected = fitting.predict(made, pixels)
    assert layers.activations(made, every, pixels)[-1].numpy() == pytest.approx(expected, abs=1e-5)
    assert [layer.number for layer in every] == list(range(1, len(every) + 1))
    depth = {"perceptron": 1, "mlp": 4, "separable": 6, "resnet": 4}
    assert len(every) == depth.get(str(params["name"]), len(every))
    fewer = layers.of(made, 2)
    assert len(fewer) == min(2, len(every)) and fewer[-1].module is every[-1].module


def test_classes_come_apart_with_depth(tmp_path: Path) -> None:
    """Light or dark in two corners: alike or not is what no mean of pixels can tell."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 2, (2, 900))
    pixels = rng.integers(100, 150, (900, 1, 10, 10), dtype=np.uint8)
    pixels[:, 0, :5, :5] = (first * 200 + 25)[:, None, None]
    pixels[:, 0, 5:, 5:] = (second * 200 + 25)[:, None, None]
    labels = (first == second).astype(np.int64)
    shape = MLP | {"widths": [32, 16], "residual": False}
    made = network(image=Image(height=10, width=10, channels=1), params=shape)
    plain = recipe(network=shape, augmentation=None, epochs=10)
    fitting.fit(made, plain, 1, (pixels[:500], labels[:500]))
    made.eval().requires_grad_(False)
    halves = np.split(np.arange(500, 900), 2)
    val, test = (Split(pixels[rows], labels[rows], rows.astype(str)) for rows in halves)
    answers = exported(made).run(test.pixels, "probabilities")
    looked = representations.look(LIMITS, ("unlike", "alike"), made, val, test, answers, tmp_path)
    assert looked.metrics["separability_of_pixels"] < 0.75 < 0.95 < looked.metrics["separability_of_logits"]


def test_a_layer_that_answers_always_the_same_separates_nothing() -> None:
    labels, same = np.arange(20) % 2, np.ones((20, 5), np.float32)
    assert (representations.plane(same, labels, same, 0) == 0).all()
    assert len(set(representations.nearest_mean(same, labels, same))) == 1
