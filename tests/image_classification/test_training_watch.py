"""The watch sees what happens inside a network, raises the right alarm, and changes nothing."""

from collections.abc import Callable, Sequence
from typing import Any

import lightning
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pipeline.core.parameters import Watch
from pipeline.core.tracking import Measurement
from pipeline.tasks.image_classification.learning import fitting
from pipeline.training.history import History
from pipeline.training.silent_units import SilentUnits
from pipeline.training.training_watch import TrainingWatch
from tests.image_classification.test_learning import digits, network, recipe

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
METRICS = {"val_loss": "val_loss"}


def limits(**changes: float) -> Watch:
    return Watch.model_validate(
        {
            "every_steps": 4,
            "gradient_rise_max": 10,
            "gradient_share_min": 1e-6,
            "update_ratio_max": 0.5,
            "silent_share_max": 0.5,
            "generalisation_loss_max": 0.2,
        }
        | changes
    )


def watched(
    made: nn.Module | None = None,
    *more: lightning.Callback,
    epochs: int = 2,
    rate: float = 0.05,
    **changes: float,
) -> tuple[TrainingWatch, list[Measurement], nn.Module]:
    found: list[Measurement] = []
    made, watch = made or network(), TrainingWatch(limits(**changes), found.extend)
    callbacks = [History(METRICS), *more, watch]
    fitting.fit(
        made,
        recipe(epochs=epochs, learning_rate=rate),
        5,
        digits(160),
        digits(50, seed=1),
        callbacks=callbacks,
    )
    return watch, found, made


def test_a_sound_training_raises_no_alarm_and_is_not_changed_by_the_watch() -> None:
    watch, found, made = watched()
    assert watch.alarms == {}
    assert {m.step for m in found if m.name == "watch/gradient_norm/network.head"} == {1, 5, 9, 13, 17}
    names = {m.name for m in found}
    for layer in ("network.stem.0", "network.stages.1.conv2", "network.head"):
        assert {f"watch/gradient_norm/{layer}", f"watch/update_ratio/{layer}"} <= names
    assert "watch/update_ratio/network.stem.1" not in names  # normalisation begins at 0 and 1
    assert sum(name.startswith("watch/silent_units/") for name in names) == 5
    assert {"watch/generalisation_gap", "watch/generalisation_loss", "watch/alarms"} <= names
    alone = network()
    fitting.fit(alone, recipe(epochs=2, learning_rate=0.05), 5, digits(160), digits(50, seed=1))
    assert all(
        torch.equal(a, b)
        for a, b in zip(alone.state_dict().values(), made.state_dict().values(), strict=True)
    )


def test_norms_and_ratios_are_what_they_say() -> None:
    class Reference(lightning.Callback):
        def on_before_optimizer_step(self, _t: Any, module: Any, _: Any) -> None:
            head = module.network.head
            self.norm = float(torch.cat([head.weight.grad.flatten(), head.bias.grad]).norm())
            self.before = head.weight.detach().clone()

        def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
            if trainer.global_step == 1:
                step = module.network.head.weight.detach() - self.before
                self.met = self.norm, float(step.norm() / self.before.norm())

    reference = Reference()
    _, found, _ = watched(None, reference, epochs=1)
    first = {m.name: m.value for m in found if m.step == 1}
    met = first["watch/gradient_norm/network.head"], first["watch/update_ratio/network.head"]
    assert met == pytest.approx(reference.met, rel=1e-5)


class Scaled(lightning.Callback):
    """Multiplies the gradient of some parameters at some steps."""

    def __init__(self, factor: float, part: str, at: int | None = None) -> None:
        self.factor, self.part, self.at = factor, part, at

    def on_after_backward(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if self.at in (None, trainer.global_step):
            for name, parameter in module.named_parameters():
                if self.part in name and parameter.grad is not None:
                    parameter.grad *= self.factor


def test_an_exploding_gradient_raises_an_alarm() -> None:
    watch, _, _ = watched(None, Scaled(300, "", at=28), epochs=3)
    assert "exploding gradient" in watch.alarms
    assert "at step 29" in watch.alarms["exploding gradient"]
    assert "lower train.learning_rate" in watch.alarms["exploding gradient"]


def test_a_vanishing_gradient_raises_an_alarm_that_names_the_layer() -> None:
    watch, _, _ = watched(None, Scaled(1e-8, "stem.0"))
    assert list(watch.alarms) == ["vanishing gradient"]
    assert "network.stem.0: the gradient is" in watch.alarms["vanishing gradient"]


def test_too_large_steps_raise_an_alarm() -> None:
    watch, _, _ = watched(rate=0.5, update_ratio_max=0.05)
    assert "lower train.learning_rate" in watch.alarms["update too large"]


def test_dead_units_raise_an_alarm() -> None:
    made = network()
    norm = made.get_submodule("stem.1")
    assert isinstance(norm, nn.BatchNorm2d)
    nn.init.constant_(norm.bias, -20)
    watch, found, _ = watched(made, epochs=1)
    assert "activation 0, activation 1, activation 2 and 2 more: 100%" in watch.alarms["silent units"]
    assert "vanishing gradient" in watch.alarms
    assert next(m.value for m in found if m.name == "watch/silent_units/0") == 1


class ValidationLoss(lightning.Callback):
    def __init__(self, values: Sequence[float]) -> None:
        self.values = values

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: Any) -> None:
        trainer.callback_metrics["val_loss"] = torch.tensor(self.values[trainer.current_epoch])


def test_overfitting_raises_an_alarm_and_a_loss_that_falls_none() -> None:
    watch, found, _ = watched(None, ValidationLoss([1.0, 1.4, 1.3]), epochs=3)
    assert "30% above its lowest" in watch.alarms["overfitting"]
    assert [m.value for m in found if m.name == "watch/generalisation_loss"] == pytest.approx([0, 0.4, 0.3])
    for values in ([1.0, 0.9], [1.0, 1.3, 0.9]):
        assert watched(None, ValidationLoss(values), epochs=len(values))[0].alarms == {}


def test_what_was_found_outlives_an_interruption() -> None:
    watch, _, _ = watched(None, ValidationLoss([1.0, 1.3, 1.3]), epochs=3)
    again = TrainingWatch(limits(), lambda _: None)
    again.load_state_dict(watch.state_dict())
    assert again.alarms == watch.alarms and again.state_dict() == watch.state_dict()


def test_silent_units_of_every_way_to_write_an_activation() -> None:
    x = torch.tensor([[-1.0, 2.0, -9.0, -3.0], [-2.0, 1.0, -9.0, 3.0]])
    ways: list[Callable[[torch.Tensor], torch.Tensor]] = [
        F.relu,
        torch.relu,
        nn.ReLU(),
        nn.ReLU(inplace=True),
        torch.Tensor.relu,
        lambda a: a.relu_(),
    ]
    for way in ways:
        with SilentUnits() as units:
            way(x.clone())
        assert [float(share) for share in units.shares] == [0.5], way
    with SilentUnits() as units:
        nn.GELU()(x)
        F.silu(x)
        torch.tanh(x)
    assert [float(share) for share in units.shares] == [0.25, 0.25]
    with SilentUnits() as units:
        F.relu(torch.tensor([1.0, -1.0]).view(1, 2, 1, 1).expand(3, 2, 4, 5))
    assert [float(share) for share in units.shares] == [0.5]


def test_an_error_within_a_step_leaves_nothing_switched_on() -> None:
    class Broken(lightning.Callback):
        def on_before_zero_grad(self, *_: Any) -> None:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        watched(None, Broken())
    with SilentUnits() as outer:
        F.relu(torch.ones(2, 2))
    assert len(outer.shares) == 1 and torch._C._len_torch_function_stack() == 0
