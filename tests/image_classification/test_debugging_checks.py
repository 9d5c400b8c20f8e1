"""Each check before the long run: a sound network passes, one broken on purpose is told what is wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from pipeline.core.errors import ModelError
from pipeline.core.parameters import Checks
from pipeline.tasks.image_classification.learning import sanity
from pipeline.tasks.image_classification.parameters import Train
from pipeline.training import debugging_checks
from pipeline.training.debugging_checks import Trial
from tests.image_classification.test_learning import digits, every_network, network, recipe
from tests.imports import ROOT

IMAGES, LABELS = digits(600)


def params(**changes: object) -> Train:
    shipped = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"]["digits"]["train"]
    own = recipe().model_dump()
    return Train.model_validate(shipped | own | changes)


def check(
    made: nn.Module, images: np.ndarray = IMAGES, labels: np.ndarray = LABELS, **changes: object
) -> dict:
    return sanity.check(made, params(**changes), (images, labels))


def test_a_sound_network_passes_and_is_left_alone() -> None:
    made = network()
    before, state = {k: v.clone() for k, v in made.state_dict().items()}, torch.get_rng_state()
    figures = check(made)
    assert figures["overfit_loss"] < 0.5 < figures["initial_loss"]
    assert figures["line_up_z"] > 5 and figures["silent_units"] < 0.5
    assert 1e-3 < figures["suggested_learning_rate"] < 10
    assert all(torch.equal(before[k], v) for k, v in made.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    stem, head = 14 * 14 * 8 * 25, 16 * 10
    first, second = 2 * 14 * 14 * 8 * 8 * 9, 7 * 7 * (8 * 16 * 9 + 16 * 16 * 9 + 8 * 16)
    assert figures["mflop_per_image"] == pytest.approx(2 * (stem + first + second + head) / 1e6)


def test_counting_operations_leaves_the_network_as_it_was() -> None:
    made = network().train()
    assert sanity.mflop(made, torch.from_numpy(IMAGES[:1])) > 0
    assert all(module.training for module in made.modules())


@every_network
def test_every_network_passes(params: dict[str, object]) -> None:
    figures = check(network(params=params), network=params)
    assert figures["overfit_loss"] < figures["initial_loss"]


def test_the_same_check_gives_the_same_figures() -> None:
    assert check(network()) == check(network())


def test_few_images_are_not_asked_what_they_cannot_tell() -> None:
    assert "line_up_z" not in check(network(), *digits(200))


def test_labels_that_do_not_belong_to_their_images_are_told() -> None:
    mixed = np.random.default_rng(0).permutation(LABELS)
    with pytest.raises(ModelError, match=r"Inputs and targets do not belong together .*line_up_z_min to 0"):
        check(network(), labels=mixed)
    figures = check(network(), labels=mixed, checks={"steps": 40, "line_up_z_min": 0})
    assert figures["line_up_z"] < 2


def test_labels_that_contradict_the_images_are_told() -> None:
    with pytest.raises(ModelError, match="could not be learnt by heart"):
        check(network(), digits(16)[0].repeat(4, axis=0), np.arange(64) % 4)


def test_a_part_that_no_gradient_reaches_is_told() -> None:
    made = network()
    made.idle = nn.Linear(3, 3)
    with pytest.raises(ModelError, match=r"no gradient reaches idle.weight, idle.bias"):
        check(made)


def same(x: Tensor) -> Tensor:
    return x


class Changed(nn.Module):
    """A network whose answers, or whose inputs, go through a function."""

    def __init__(
        self, answers: Callable[[Tensor], Tensor] = same, given: Callable[[Tensor], Tensor] = same
    ) -> None:
        super().__init__()
        self.network: Any = network()
        self.answers, self.given = answers, given

    def forward(self, pixels: Tensor) -> Tensor:
        changed: Tensor = self.answers(self.network(self.given(pixels)))
        return changed


def test_a_layer_that_is_cut_off_is_told() -> None:
    class Detached(Changed):
        def forward(self, pixels: Tensor) -> Tensor:
            found = self.network.stages(self.network.stem(pixels / 255)).mean(dim=(2, 3)).detach()
            answers: Tensor = self.network.head(found)
            return answers

    with pytest.raises(ModelError, match=r"no gradient reaches network.stem.0.weight.*detach\(\)"):
        check(Detached())


def test_an_initial_loss_that_is_not_what_theory_says_is_told() -> None:
    made = network()
    torch.nn.init.normal_(made.get_parameter("head.weight"), std=50)
    with pytest.raises(
        ModelError, match=r"untrained network's loss is .*about ln\(classes\) = 2.303 is right"
    ):
        check(made)


def test_answers_that_are_no_numbers_are_told() -> None:
    with pytest.raises(ModelError, match="untrained network answers NaN or infinity"):
        check(Changed(answers=lambda logits: logits / 0))


def test_units_that_are_dead_from_the_beginning_are_told() -> None:
    made = network()
    nn.init.constant_(made.get_parameter("stem.1.bias"), -20)
    with pytest.raises(ModelError, match="100% of the units of activation 0 answer nothing"):
        check(made)


def test_an_input_that_is_not_used_is_told() -> None:
    with pytest.raises(ModelError, match="answers the same to 32 different images"):
        check(Changed(given=torch.zeros_like))


class AlwaysTraining(nn.BatchNorm2d):
    def train(self, mode: bool = True) -> "AlwaysTraining":
        return super().train(True)


def test_a_normalisation_that_stays_in_training_mode_is_told() -> None:
    made: Any = network()
    made.stem[1] = AlwaysTraining(8)
    with pytest.raises(ModelError, match=r"answers change by up to .* are fewer .*stays in training mode"):
        check(made)


@pytest.mark.parametrize(
    "mixing, how",
    [
        (lambda logits: logits + 0.1 * logits.softmax(dim=0), "are fewer"),
        (lambda logits: logits + 0.1 * torch.arange(len(logits))[:, None] / 64, "stand in another order"),
        (lambda logits: logits + 0.1 * logits.roll(1, dims=0), "stand in another order"),
    ],
)
def test_answers_that_depend_on_other_images_are_told(mixing: Callable[[Tensor], Tensor], how: str) -> None:
    with pytest.raises(ModelError, match=f"answers change by up to .* {how}"):
        check(Changed(answers=mixing))


def test_a_learning_rate_at_which_the_loss_diverges_is_told() -> None:
    with pytest.raises(ModelError, match=r"the loss diverges .* train.learning_rate is 1e\+04. Try"):
        check(network(), learning_rate=1e4)


def test_a_learning_rate_at_which_nothing_falls_is_told() -> None:
    with pytest.raises(
        ModelError, match=r"does not fall at any learning rate .* train.learning_rate = 1e-07"
    ):
        check(network(), learning_rate=1e-7)


def line(inputs: Tensor, targets: Tensor, broken: Callable[[Tensor], Tensor] = lambda x: x) -> Trial:
    """Numbers that are predicted from two others: what the checks ask of a task, in a few lines."""

    class Line(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.Linear(2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return broken(self.weights(x))

    return Trial(
        network=Line(),
        inputs=[inputs],
        targets=[targets],
        loss=lambda outputs, _, targets: ((outputs - targets[0]) ** 2).mean(),
        mixed_up=lambda targets, _: [targets[0][torch.randperm(len(targets[0]))]],
        optimiser=lambda of, rate: torch.optim.SGD(of.parameters(), lr=rate),
        batch=16,
        unit="points",
    )


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_inputs_and_targets_that_are_no_numbers_are_told(bad: float) -> None:
    sound = torch.zeros(20, 2)
    spoiled = sound.clone()
    spoiled[7, 1] = bad
    debugging_checks.all_numbers(line(sound, sound))
    with pytest.raises(ModelError, match=r"1 of 20 points hold NaN or infinity in their inputs .*in row 7"):
        debugging_checks.all_numbers(line(spoiled, sound))
    with pytest.raises(ModelError, match="in their targets"):
        debugging_checks.all_numbers(line(sound, spoiled[:, 1]))


def test_a_gradient_that_is_no_number_is_told() -> None:
    torch.manual_seed(0)
    trial = line(torch.rand(16, 2), torch.rand(16, 1), broken=lambda x: (x * 0).sqrt() + x)
    with pytest.raises(
        ModelError, match=r"first gradient of weights.weight, weights.bias is NaN or infinite"
    ):
        debugging_checks.overfits_one_batch(trial, 0.0, 0.5)


def test_any_task_can_be_checked() -> None:
    torch.manual_seed(0)
    x = torch.randn(800, 2)
    y = x @ torch.tensor([[1.0], [-2.0]]) + 0.1 * torch.randn(800, 1)
    checks = Checks(steps=40, line_up_z_min=2)
    assert debugging_checks.learning_rate_range(line(x, y), 0.1, checks) > 0
    found = debugging_checks.targets_belong(line(x, y), 0.1, checks)
    assert found is not None and found > 5
    with pytest.raises(ModelError, match="do not belong together"):
        debugging_checks.targets_belong(line(x, y[torch.randperm(800)]), 0.1, checks)
