"""The long training of `train`, the same for every task: watched, resumable, with messages that help."""

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import lightning
import torch
from lightning.pytorch.callbacks import LearningRateMonitor

from pipeline.core.errors import Interrupted, ModelError
from pipeline.core.parameters import LongRun
from pipeline.core.tracking import StageRun
from pipeline.training.early_stopping import EarlyStopping
from pipeline.training.history import History
from pipeline.training.resuming import Checkpoints
from pipeline.training.taking_over import KeepFrozen
from pipeline.training.training_watch import TrainingWatch

CHECKPOINT = "last.ckpt"
# How PyTorch says that the memory of a CPU is exhausted; of a GPU it has an error class.
OUT_OF_MEMORY_WORDS = ("can't allocate memory", "not enough memory")


@dataclass(frozen=True)
class Fitted:
    """rows: of history.csv, one an epoch; kept: that of the epoch whose weights these are; seconds: of all
    epochs, those before an interruption too; figures: for the stage's metrics; remarks: what a person should
    know, a part of the summary."""

    trainer: lightning.Trainer
    rows: list[dict[str, float]]
    kept: dict[str, float]
    seconds: float
    figures: dict[str, float]
    remarks: str


def fit(
    train: Callable[..., lightning.Trainer],
    params: LongRun,
    metrics: Mapping[str, str],
    interrupted: Path,
    folder: Path,
    run: StageRun,
) -> Fitted:
    """Trains to the end, from the last checkpoint of `interrupted` if there is one; leaves history.csv.

    train: a task's `fit` with everything but what is given here; metrics: see History
    """
    callbacks = _callbacks(params, metrics, interrupted, run)
    trainer = _train(train, callbacks, interrupted, run)
    history, watch, stopping, checkpoints = callbacks
    rows, seconds = history.write(folder)
    kept, remarks = rows[-1], ""
    if stopping and stopping.stopped:
        kept = rows[stopping.best_epoch]
        remarks = f"; stopped early, with the weights of epoch {stopping.best_epoch}"
    if watch.alarms:
        remarks += "; alarms: " + ". ".join(watch.alarms.values())
    figures = {"alarms": float(len(watch.alarms)), "checkpoints": float(len(checkpoints.costs))}
    if checkpoints.costs:
        figures["checkpoint_ms"] = 1000 * statistics.median(checkpoints.costs)
    return Fitted(trainer, rows, kept, seconds, figures, remarks)


def take_part(
    train: Callable[..., lightning.Trainer],
    params: LongRun,
    metrics: Mapping[str, str],
    interrupted: Path,
    run: StageRun,
) -> None:
    """The same training in another process than the first, which leaves nothing (core/processes.py).

    An error that all processes raise together is the first one's to tell: Lightning would kill it, once
    another has ended with an exit code that is not 0.
    """
    callbacks = _callbacks(params, metrics, interrupted, run)
    try:
        _train(train, callbacks, interrupted, run)
    except (Interrupted, ModelError):
        if not callbacks.checkpoints.agreed:
            raise


class _Callbacks(NamedTuple):
    """In the order in which they are called."""

    history: History
    watch: TrainingWatch
    stopping: EarlyStopping | None
    checkpoints: Checkpoints


def _callbacks(params: LongRun, metrics: Mapping[str, str], interrupted: Path, run: StageRun) -> _Callbacks:
    return _Callbacks(
        History(metrics),
        TrainingWatch(params.watch, run.log_measurements),
        EarlyStopping(params.early_stopping_patience) if params.early_stopping_patience else None,
        Checkpoints(interrupted / CHECKPOINT, params.checkpoint_seconds),
    )


def _train(
    train: Callable[..., lightning.Trainer], callbacks: _Callbacks, interrupted: Path, run: StageRun
) -> lightning.Trainer:
    checkpoint = interrupted / CHECKPOINT
    with explained():
        return train(
            resume_from=str(checkpoint) if checkpoint.is_file() else None,
            logger=run.lightning_logger(),
            callbacks=[LearningRateMonitor("step"), KeepFrozen(), *(each for each in callbacks if each)],
            enable_progress_bar=True,
            log_every_n_steps=50,
        )


@contextmanager
def explained() -> Iterator[None]:
    """Running out of memory as a ModelError that says what to change."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and not any(words in str(error) for words in OUT_OF_MEMORY_WORDS):
            raise
        raise ModelError(
            f"train: out of memory: {str(error).splitlines()[0]} Halve train.batch_size in params.yaml "
            "(and train.learning_rate with it), or make train.network smaller; the training then begins anew."
        ) from error
