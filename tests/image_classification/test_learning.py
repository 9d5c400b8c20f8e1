"""Networks, batches, augmentation, fitting, calibration, export."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.special import softmax

from pipeline.core import model_package
from pipeline.core.errors import ParameterError
from pipeline.tasks.image_classification.learning import export, fitting, networks
from pipeline.tasks.image_classification.learning.augmentation import RandomAffine
from pipeline.tasks.image_classification.learning.calibration import (
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from pipeline.tasks.image_classification.parameters import Collect, Image
from pipeline.tasks.image_classification.recipe_parameters import Recipe
from pipeline.training import optimisation
from pipeline.training.batches import Batches, epoch_seed
from tests import synthetic_digits
from tests.imports import ROOT

GREY = Image(height=28, width=28, channels=1)
RESNET: dict[str, object] = {
    "name": "resnet",
    "stem_channels": 8,
    "stem_kernel": 5,
    "stem_stride": 2,
    "stem_padding": 2,
    "channels": [8, 16],
    "blocks": [1, 1],
    "strides": [1, 2],
    "pooling": "average",
}
MLP: dict[str, object] = {
    "name": "mlp",
    "widths": [32, 32, 16],
    "activation": "relu",
    "initialisation": "he",
    "normalisation": "batch",
    "residual": True,
}
CONVNET: dict[str, object] = {
    "name": "convnet",
    "channels": [6, 16],
    "kernel": 5,
    "hidden": [32],
    "activation": "relu",
    "initialisation": "he",
    "normalisation": "none",
}
NETWORKS: list[dict[str, object]] = [
    {"name": "perceptron", "initialisation": "xavier"},
    MLP,
    MLP | {"activation": "gelu", "normalisation": "layer", "residual": False},
    MLP | {"activation": "tanh", "initialisation": "xavier", "normalisation": "none", "residual": False},
    CONVNET,
    CONVNET | {"activation": "gelu", "hidden": [], "normalisation": "layer"},
    CONVNET | {"normalisation": "batch"},
    {"name": "separable", "stem_channels": 8, "stem_stride": 2, "channels": [16, 16], "strides": [1, 2]},
    RESNET,
    RESNET | {"stem_padding": 0, "pooling": "none"},
]
every_network = pytest.mark.parametrize("params", NETWORKS, ids=lambda params: params["name"])


def recipe(**changes: object) -> Recipe:
    return Recipe.model_validate(
        {
            "network": RESNET,
            "augmentation": {"max_shift": 2, "max_rotation": 10, "scale_range": [0.9, 1.1], "max_shear": 0.1},
            "epochs": 4,
            "batch_size": 16,
            "precision": "float32",
            "optimiser": {"name": "sgd", "momentum": 0.9, "nesterov": True},
            "learning_rate": 0.1,
            "schedule": {"name": "cosine", "warmup_share": 0.2},
            "weight_decay": 0.0005,
            "label_smoothing": 0.1,
        }
        | changes
    )


def digits(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 10).astype(np.int64)
    return synthetic_digits.draw(labels, rng)[:, None], labels


def network(seed: int = 0, image: Image = GREY, params: dict[str, object] = RESNET) -> torch.nn.Module:
    torch.manual_seed(seed)
    return networks.build(
        recipe(network=params).network, image, 10, [0.1] * image.channels, [0.3] * image.channels
    )


@every_network
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 28, 28), (3, 64, 48), (1, 9, 9)])
def test_a_network_takes_raw_pixels_of_any_size(
    params: dict[str, object], channels: Literal[1, 3], height: int, width: int
) -> None:
    made = network(image=Image(height=height, width=width, channels=channels), params=params).eval()
    pixels = torch.randint(0, 256, (3, channels, height, width), dtype=torch.uint8)
    with torch.no_grad():
        logits = made(pixels)
        assert logits.shape == (3, 10) and logits.dtype == torch.float32
        assert torch.allclose(logits, made(pixels.float()), atol=1e-5)


def test_an_epoch_sees_every_image_once_in_an_order_of_its_own() -> None:
    pixels, labels = torch.arange(100).view(100, 1, 1, 1).to(torch.uint8), torch.arange(100)
    batches = Batches((pixels, labels), 10, seed=1, shuffle=True)
    orders = []
    for epoch in (0, 1, 0):
        batches.sampler.set_epoch(epoch)
        orders.append(torch.cat([y for _, y in batches]).tolist())
        assert sorted(orders[-1]) == list(range(100))
    assert orders[0] == orders[2] != orders[1]
    assert len(batches) == 10
    assert epoch_seed(1, 0) != epoch_seed(0, 1)


def test_an_epoch_goes_on_where_it_was_interrupted() -> None:
    batches = Batches((torch.arange(50),), 10, seed=1, shuffle=True)
    batches.sampler.set_epoch(3)
    whole = [rows.tolist() for (rows,) in batches]
    assert batches.state_dict() == {"given": 0}
    interrupted = iter(batches)
    assert [next(interrupted)[0].tolist() for _ in range(2)] == whole[:2]
    again = Batches((torch.arange(50),), 10, seed=1, shuffle=True)
    again.load_state_dict(batches.state_dict())
    again.sampler.set_epoch(3)
    assert [rows.tolist() for (rows,) in again] == whole[2:]
    assert [rows.tolist() for (rows,) in again] == whole


def test_an_incomplete_batch_is_kept_only_without_shuffling() -> None:
    pixels, labels = torch.zeros((25, 1, 2, 2), dtype=torch.uint8), torch.arange(25)
    assert [len(y) for _, y in Batches((pixels, labels), 10, seed=0, shuffle=False)] == [10, 10, 5]
    assert [len(y) for _, y in Batches((pixels, labels), 10, seed=0, shuffle=True)] == [10, 10]
    assert [len(y) for _, y in Batches((pixels, labels), 99, seed=0, shuffle=True)] == [25]


def test_augmentation_is_reproducible_keeps_the_range_and_moves_each_image_its_own_way() -> None:
    affine = RandomAffine(max_shift=2, max_rotation=10, scale_range=(0.9, 1.1), max_shear=0.1)
    image = torch.from_numpy(digits(1)[0]).repeat(8, 1, 1, 1)
    one, two = (affine(image, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(one, two)
    assert one.shape == image.shape and one.min() >= 0 and one.max() <= 255
    assert not torch.equal(one[0], one[1])


def test_augmentation_of_nothing_changes_nothing() -> None:
    still = RandomAffine(max_shift=0, max_rotation=0, scale_range=(1, 1), max_shear=0)
    pixels = torch.from_numpy(digits(4)[0])
    assert torch.allclose(still(pixels, torch.Generator()), pixels.float(), atol=1e-2)


def test_the_largest_shift_is_in_pixels() -> None:
    shifted = RandomAffine(max_shift=3, max_rotation=0, scale_range=(1, 1), max_shear=0)
    pixels = torch.zeros((400, 1, 21, 31))
    pixels[:, :, 10, 15] = 255
    moved = shifted(pixels, torch.Generator().manual_seed(0))
    x = (moved.sum((1, 2)) @ torch.arange(31.0)) / moved.sum((1, 2, 3)) - 15
    assert 2.7 < x.abs().max() <= 3.01


def test_poolings_that_leave_nothing_of_the_image_are_told() -> None:
    with pytest.raises(ParameterError, match=r"5 convolutions, .* leave nothing of 28 x 28 pixels"):
        network(params=CONVNET | {"channels": [4] * 5})


def test_the_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, (20000, 5))
    labels = np.array([rng.choice(5, p=p) for p in softmax(honest, axis=1)])
    assert fit_temperature((honest * 3).astype(np.float32), labels) == pytest.approx(3, rel=0.05)
    assert fit_temperature(honest.astype(np.float32), labels) == pytest.approx(1, rel=0.05)


def test_calibration_error_of_known_cases() -> None:
    sure = np.array([[0.9, 0.1]] * 10)
    assert expected_calibration_error(sure, np.array([True] * 9 + [False])) == pytest.approx(0)
    assert expected_calibration_error(sure, np.array([False] * 10)) == pytest.approx(0.9)
    confidence, accuracy, counts = reliability(sure, np.array([True] * 9 + [False]))
    assert counts.sum() == 10 and confidence[counts > 0] == pytest.approx([0.9]) == accuracy[counts > 0]


@every_network
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_exported_graph_is_the_network_for_any_batch(params: dict[str, object], tmp_path: Path) -> None:
    import onnxruntime

    made, pixels = network(params=params), digits(7)[0]
    path = tmp_path / "network.onnx"
    expected = fitting.predict(made, pixels)
    export.to_onnx(made.cpu(), 2.0, GREY, path)
    assert [p.name for p in tmp_path.iterdir()] == ["network.onnx"]
    assert str(ROOT).encode() not in path.read_bytes()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for n in (1, 2, 7):
        logits, probabilities = session.run(["logits", "probabilities"], {"image": pixels[:n]})
        assert np.abs(logits - expected[:n]).max() < 1e-4
        assert np.abs(probabilities - softmax(expected[:n] / 2, axis=1)).max() < 1e-5


@every_network
def test_the_network_of_a_package_is_built_as_it_was_trained(
    params: dict[str, object], tmp_path: Path
) -> None:
    made, pixels = network(seed=3, params=params), digits(5)[0]
    expected = fitting.predict(made, pixels)
    weights = {name: value.contiguous() for name, value in made.state_dict().items()}
    save_file(weights, tmp_path / model_package.WEIGHTS)
    (tmp_path / model_package.NETWORK).write_bytes(b"not read here")
    stated = recipe(network=params).network.model_dump(mode="json")
    model_package.describe(tmp_path, {"network": stated}, ())
    collect = Collect.model_construct(classes=tuple("0123456789"), image=GREY, sources=())
    assert np.array_equal(networks.load(tmp_path, collect)(pixels), expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimiser": {"name": "sgd", "momentum": 0.0, "nesterov": False}},
        {"optimiser": {"name": "rmsprop", "smoothing": 0.99}, "learning_rate": 0.003},
        {"optimiser": {"name": "adam", "betas": [0.9, 0.999]}, "learning_rate": 0.01},
        {"optimiser": {"name": "adamw", "betas": [0.9, 0.999]}, "learning_rate": 0.01},
        {"schedule": {"name": "constant"}},
        {"schedule": {"name": "step", "milestones": [0.5, 0.8], "factor": 0.1}},
    ],
    ids=lambda changes: next(iter(changes.values()))["name"],
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_every_optimiser_and_schedule_learns(changes: dict[str, object]) -> None:
    made, (pixels, labels) = network(params=MLP), digits(300)
    fitting.fit(made, recipe(**{"network": MLP, "augmentation": None} | changes), 5, (pixels, labels))
    assert (fitting.predict(made, pixels).argmax(1) == labels).mean() > 0.8


def test_the_learning_rate_falls_where_the_schedule_says() -> None:
    said = recipe(
        optimiser={"name": "sgd", "momentum": 0.0, "nesterov": False},
        schedule={"name": "step", "milestones": [0.5, 0.8], "factor": 0.1},
    )
    optimiser = optimisation.optimiser(said.optimiser, network(), 1.0, 0.1)
    schedule = optimisation.schedule(said.schedule, optimiser, 1.0, 10)
    rates = []
    for _ in range(10):
        rates.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    assert rates == pytest.approx([1.0] * 5 + [0.1] * 3 + [0.01] * 2)
    decays = {p.ndim > 1: group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    assert decays == {True: 0.1, False: 0.0}
