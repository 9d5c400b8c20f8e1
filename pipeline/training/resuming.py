"""Checkpoints that a killed training goes on from, to the same weights, bit for bit.

Lightning keeps weights, optimiser, schedule and the position of its loops; what it does not keep is kept
here: random states, the position in the batches (Lightning 2.6 keeps it, but does not restore it where the
optimiser asked for the number of steps), a file that is whole after a kill or a power cut, and a state that
is sound. There are two kinds of moments at which a checkpoint may be taken: after a step that is not the last
of its epoch, and after the whole epoch. (After the last step, before validation, Lightning would leave out
validation and the end of the epoch when it goes on.)

Several processes save together, or not at all: each gives its random states, the first writes. So they agree
after each step on whether one of them wants to, and on whether the loss is a number.
"""

import io
import random
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from pipeline.core.artifacts import writing_file
from pipeline.core.errors import DiskFull, Interrupted, ModelError, is_disk_full
from pipeline.training.batches import Batches

# A GPU is asked this seldom whether its losses are finite: each time it is waited for.
ASYNCHRONOUS_STEPS = 20


class WholeFiles(TorchCheckpointIO):
    """Lightning's way of writing checkpoints, but atomic and synced to disk wherever the file lies."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with writing_file(Path(path)) as partial:
            partial.write_bytes(content.getbuffer())

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        try:
            checkpoint: dict[str, Any] = torch.load(path, map_location, weights_only=True)
        except Exception as error:
            raise ModelError(
                f"{path}: this checkpoint is damaged or no checkpoint of this program "
                f"({type(error).__name__}). Remove the folder {Path(path).parent}; `dvc repro` then trains "
                "from the beginning."
            ) from error
        return checkpoint


class Checkpoints(lightning.Callback):
    """Saves everything needed to go on, at least every `seconds` and after each epoch, and when a signal
    asks the process to end. Must be the last of the callbacks, so that it keeps what the others found.

    A loss or a weight that is no finite number stops the training before it is saved.

    agreed: whether the training ended with an error that all processes raise together
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self.kept = "none had been written yet"  # which checkpoint lies there, in words
        self.costs: list[float] = []  # seconds of each checkpoint
        self.agreed = False
        self._asked: int | None = None  # number of the signal
        self._losses: list[Tensor] = []  # of the steps since they were last looked at
        self._restored: dict[str, Any] | None = None

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, _: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["random"] = _of_all_processes(trainer, random_state())
        checkpoint["batches"] = _batches(trainer).state_dict()

    def on_load_checkpoint(
        self, _t: lightning.Trainer, _: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._restored = checkpoint

    def on_train_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        if self._restored is not None:
            states = self._restored["random"]
            if len(states) != trainer.world_size:
                raise ModelError(
                    f"{self.path}: the interrupted training ran in {len(states)} process(es), this one in "
                    f"{trainer.world_size}. Give it as many devices, or remove the folder "
                    f"{self.path.parent}; `dvc repro` then trains from the beginning."
                )
            restore_random_state(states[trainer.global_rank])
            _batches(trainer).load_state_dict(self._restored["batches"])
            self._restored = None
            self.kept = f"that of step {trainer.global_step} is kept: {self.path}"
        self._saved = time.monotonic()
        # Lightning's own handlers, which it takes away again itself, would end the process between two
        # safe moments and with exit code 0.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._note)

    def _note(self, number: int, _: object) -> None:
        if self._asked is not None:
            raise Interrupted(number)  # asked twice: at once
        self._asked = number

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, *_: Any
    ) -> None:
        self._losses.append(outputs["loss"].detach())
        looked = module.device.type == "cpu" or len(self._losses) >= ASYNCHRONOUS_STEPS
        if looked:
            self._refuse_bad_losses(trainer)
        if (looked or trainer.world_size == 1) and not trainer.is_last_batch and self._due(trainer):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        self._save(trainer)

    def _due(self, trainer: lightning.Trainer) -> bool:
        due = self._asked is not None or time.monotonic() - self._saved >= self.seconds
        return trainer.strategy.reduce_boolean_decision(due, all=False) if trainer.world_size > 1 else due

    def _save(self, trainer: lightning.Trainer) -> None:
        self._refuse_bad_losses(trainer)
        self._refuse_bad_weights(trainer)
        began, step = time.monotonic(), trainer.global_step
        try:
            trainer.save_checkpoint(self.path)
        except Exception as error:
            if not is_disk_full(error):
                raise
            raise DiskFull(
                f"No space left on the disk for the checkpoint of step {step} below {self.path.parent}. "
                f"The last good checkpoint: {self.kept}. Free some space, then `dvc repro` goes on from it."
            ) from error
        self._saved = time.monotonic()
        self.costs.append(self._saved - began)
        self.kept = f"that of step {step} is kept: {self.path}"
        asked = max(number or 0 for number in _of_all_processes(trainer, self._asked))
        if asked:
            self.agreed = True
            raise Interrupted(asked, f" after step {step}, which is kept: {self.path}")

    def _refuse_bad_losses(self, trainer: lightning.Trainer) -> None:
        if not self._losses:
            return
        losses = trainer.strategy.reduce(torch.stack(self._losses).float(), reduce_op="mean")
        self._losses.clear()
        bad = (~losses.isfinite()).nonzero().flatten().tolist()
        if bad:
            step = trainer.global_step - len(losses) + bad[0] + 1
            self._stop(trainer, f"the loss is {float(losses[bad[0]])} at step {step}")

    def _refuse_bad_weights(self, trainer: lightning.Trainer) -> None:
        state = trainer.lightning_module.state_dict()
        numbers = {name: value for name, value in state.items() if value.is_floating_point()}
        sums = torch.stack([value.double().sum() for value in numbers.values()])
        if not sums.isfinite().all():
            bad = [name for name, found in zip(numbers, sums.isfinite().tolist(), strict=True) if not found]
            self._stop(
                trainer, f"{', '.join(bad)} hold numbers that are not finite at step {trainer.global_step}"
            )

    def _stop(self, trainer: lightning.Trainer, what: str) -> None:
        self.agreed = True
        raise ModelError(
            f"train: {what} (epoch {trainer.current_epoch}, of {trainer.num_training_batches} steps each). "
            f"The last good checkpoint: {self.kept}. The training has diverged: lower train.learning_rate "
            "in params.yaml (to a third, to begin with), raise train.schedule.warmup_share, or set "
            "train.precision to float32. watch/gradient_norm in the MLflow run shows which layer grew first."
        )


def _batches(trainer: lightning.Trainer) -> Batches:
    batches = trainer.train_dataloader
    assert isinstance(batches, Batches)
    return batches


def _of_all_processes(trainer: lightning.Trainer, own: Any) -> list[Any]:
    """What each process gives, by rank; every one must ask."""
    found = [own] * trainer.world_size
    if len(found) > 1:
        torch.distributed.all_gather_object(found, own)
    return found


def random_state() -> dict[str, Any]:
    """State of each generator of this process, as tensors and plain values: torch loads it without running
    code."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"])
