"""What happens inside a network while it is trained, and alarms where that goes wrong.

Every so many steps, for each layer: the norm of its gradient (before clipping), and how large the step of its
weights is against the weights (about 0.001 is usual: Karpathy, CS231n, "Neural Networks Part 3"); for each
activation the share of silent units. Once an epoch: validation loss against training loss. An alarm says what
to change and stops nothing: what cannot go on is stopped by a loss that is no number (training/resuming.py).
Several processes find the same: gradients and losses are those of the whole batch, a unit is silent if it is
in all of them.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from pipeline.core.parameters import Watch
from pipeline.core.tracking import Measurement
from pipeline.training.history import TRAIN_LOSS
from pipeline.training.silent_units import SilentUnits

SETTLED = 5  # looks at the gradient, before its median means something
# Epochs in a row with a validation loss too high: one alone is common while the learning rate is high.
EPOCHS_ABOVE = 2
ADVICE = {
    "exploding gradient": "lower train.learning_rate or raise train.schedule.warmup_share",
    "vanishing gradient": "the layer hardly learns: look at its initialisation and at what normalises it",
    "update too large": "lower train.learning_rate: the layer's weights are replaced in a few steps",
    "silent units": "lower train.learning_rate, or look at the initialisation before this activation",
    "overfitting": "collect more data, augment, raise train.weight_decay, set train.early_stopping_patience",
}


class TrainingWatch(lightning.Callback):
    """limits: params.yaml's train.watch; record: where measurements go, many at a time

    alarms: what was found, in words, by kind: when it was found first
    """

    def __init__(self, limits: Watch, record: Callable[[Sequence[Measurement]], None]) -> None:
        self.limits, self.record = limits, record
        self.alarms: dict[str, str] = {}
        self._norms: list[float] = []  # of the whole gradient, at each look
        self._looks: dict[str, list[float]] = defaultdict(list)  # of this epoch, by what was measured
        self._lowest: tuple[float, float] | None = None  # validation loss and training loss of the best epoch
        self._epochs_above = 0  # in a row
        self._pending: list[Measurement] = []
        self._units: SilentUnits | None = None  # of this step, if it is looked at
        self._measuring = ExitStack()

    def state_dict(self) -> dict[str, Any]:
        return {
            "alarms": self.alarms,
            "norms": self._norms,
            "looks": dict(self._looks),
            "lowest": self._lowest,
            "epochs_above": self._epochs_above,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.alarms, self._norms, self._lowest = state["alarms"], state["norms"], state["lowest"]
        self._looks = defaultdict(list, state["looks"])
        self._epochs_above = state["epochs_above"]

    def on_train_start(self, _: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._layers = layers(module)

    def on_train_epoch_start(self, *_: Any) -> None:
        self._looks.clear()

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.global_step % self.limits.every_steps == 0:
            largest = partial(trainer.strategy.reduce, reduce_op="max")
            self._units = self._measuring.enter_context(SilentUnits(largest))

    def on_before_zero_grad(self, *_: Any) -> None:
        self._measuring.close()

    def on_before_optimizer_step(self, trainer: lightning.Trainer, *_: Any) -> None:
        if self._units is None:
            return
        gradients = [[p.grad for p in of_layer if p.grad is not None] for of_layer in self._layers.values()]
        self._gradients = [torch.nn.utils.get_total_norm(of_layer) for of_layer in gradients]
        self._before = {
            name: [p.detach().clone() for p in of_layer if p.ndim > 1]
            for name, of_layer in self._layers.items()
        }

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if self._units is None:
            return
        counts = [sum(p.numel() for p in of_layer) for of_layer in self._layers.values()]
        ratios = {}
        for name, before in self._before.items():
            after = [p.detach() for p in self._layers[name] if p.ndim > 1]
            if after:
                step = torch.nn.utils.get_total_norm([a - b for a, b in zip(after, before, strict=True)])
                ratios[f"watch/update_ratio/{name}"] = step / torch.nn.utils.get_total_norm(before)
        shares = {f"watch/silent_units/{i}": share for i, share in enumerate(self._units.shares)}
        self._units = None
        # One transfer from the accelerator for all of them.
        numbers = torch.stack([*self._gradients, *ratios.values(), *shares.values()]).tolist()
        norms, others = numbers[: len(counts)], numbers[len(counts) :]
        total = sum(norm**2 for norm in norms) ** 0.5
        met = {f"watch/gradient_norm/{name}": norm for name, norm in zip(self._layers, norms, strict=True)}
        met |= dict(zip([*ratios, *shares], others, strict=True))
        for name, value in met.items():
            self._looks[name].append(value)
        for name, norm, count in zip(self._layers, norms, counts, strict=True):
            self._looks[f"rms/{name}"].append(norm / count**0.5)
        self._note(trainer, {"watch/gradient_norm/all": total} | met)
        median = statistics.median(self._norms) if self._norms else 0.0
        if len(self._norms) >= SETTLED and total > self.limits.gradient_rise_max * median:
            what = (
                f"its norm {total:.3g} at step {trainer.global_step} is {total / median:.0f} times its median"
            )
            self._alarm(trainer, "exploding gradient", what)
        self._norms.append(total)

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        if self._looks:
            self._judge_layers(trainer)
        if "val_loss" in trainer.callback_metrics:
            self._judge_generalisation(trainer)
        self._note(trainer, {"watch/alarms": float(len(self.alarms))})
        self._flush()

    def on_save_checkpoint(self, *_: Any) -> None:
        self._flush()

    def on_exception(self, _t: lightning.Trainer, _m: lightning.LightningModule, _: BaseException) -> None:
        self._measuring.close()
        with suppress(Exception):  # the store may be what broke; the first error is the one to tell
            self._flush()

    def _judge_layers(self, trainer: lightning.Trainer) -> None:
        """By the medians of the epoch, so that a single batch raises no alarm."""
        medians = {name: statistics.median(values) for name, values in self._looks.items()}
        sizes, ratios, shares = (
            {name.removeprefix(kind): value for name, value in medians.items() if name.startswith(kind)}
            for kind in ("rms/", "watch/update_ratio/", "watch/silent_units/")
        )
        limits, largest = self.limits, max(sizes.values())
        small = {
            name: size / largest for name, size in sizes.items() if size < limits.gradient_share_min * largest
        }
        fast = {name: ratio for name, ratio in ratios.items() if ratio > limits.update_ratio_max}
        silent = {f"activation {i}": share for i, share in shares.items() if share > limits.silent_share_max}
        if small:
            what = f"the gradient is {min(small.values()):.1g} of that of the layer with the largest"
            self._alarm(trainer, "vanishing gradient", f"{_places(small)}: {what}")
        if fast:
            what = f"a step changes the weights by {max(fast.values()):.2g} of their size"
            self._alarm(trainer, "update too large", f"{_places(fast)}: {what}")
        if silent:
            what = f"{max(silent.values()):.0%} of the units are silent for whole batches"
            self._alarm(trainer, "silent units", f"{_places(silent)}: {what}")

    def _judge_generalisation(self, trainer: lightning.Trainer) -> None:
        """Prechelt 1998, "Early Stopping - But When?": by how much the validation loss exceeds its lowest."""
        val, train = (float(trainer.callback_metrics[name]) for name in ("val_loss", TRAIN_LOSS))
        if self._lowest is None or val < self._lowest[0]:
            self._lowest = val, train
        excess = val / self._lowest[0] - 1 if self._lowest[0] > 0 else 0.0
        self._note(trainer, {"watch/generalisation_gap": val - train, "watch/generalisation_loss": excess})
        above = excess > self.limits.generalisation_loss_max and train < self._lowest[1]
        self._epochs_above = self._epochs_above + 1 if above else 0
        if self._epochs_above == EPOCHS_ABOVE:
            what = (
                f"the validation loss {val:.4g} is {excess:.0%} above its lowest, while the training loss "
                f"fell to {train:.4g}"
            )
            self._alarm(trainer, "overfitting", what)

    def _alarm(self, trainer: lightning.Trainer, kind: str, what: str) -> None:
        if kind not in self.alarms:
            self.alarms[kind] = f"{kind} in epoch {trainer.current_epoch}: {what}; {ADVICE[kind]}"
            trainer.print(f"ALARM: {self.alarms[kind]}")

    def _note(self, trainer: lightning.Trainer, met: dict[str, float]) -> None:
        now = round(time.time() * 1000)
        self._pending += [Measurement(name, value, trainer.global_step, now) for name, value in met.items()]

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        self.record(pending)


def _places(found: Mapping[str, float]) -> str:
    names = list(found)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def layers(module: nn.Module) -> dict[str, list[Tensor]]:
    """The trained parameters of each module that has some of its own, by the module's name."""
    found = {
        name: [p for p in part.parameters(recurse=False) if p.requires_grad]
        for name, part in module.named_modules()
    }
    return {name: own for name, own in found.items() if own}
