"""A training that is killed at any moment goes on to the same weights and the same history, bit for bit."""

import errno
import hashlib
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy

from pipeline.core.errors import DiskFull, Interrupted, ModelError
from pipeline.tasks.image_classification.learning import fitting
from pipeline.training import long_run
from pipeline.training.early_stopping import EarlyStopping
from pipeline.training.history import History
from pipeline.training.resuming import Checkpoints
from tests.image_classification.test_learning import digits, network, recipe

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
IMAGES, EPOCHS = 160, 3
STEPS = EPOCHS * (IMAGES // 16)
METRICS = {"val_loss": "val_loss", "val_accuracy": "val_accuracy"}
TRAIN, VAL = digits(IMAGES), digits(50, seed=1)


class Killed(lightning.Callback):
    """kill -9, from inside, at a step and at a place in it."""

    PLACES = ("forward", "backward", "step", "checkpoint", "after", "validation")

    def __init__(self, step: int, place: str) -> None:
        self.step, self.place = step, place

    def _at(self, trainer: lightning.Trainer, place: str, steps_done: int) -> None:
        if self.place == place and trainer.global_step >= steps_done:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._at(trainer, "forward", self.step)

    def on_after_backward(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._at(trainer, "backward", self.step)

    def on_before_zero_grad(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._at(trainer, "step", self.step)

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._at(trainer, "after", self.step)

    def on_validation_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._at(trainer, "validation", self.step)

    def on_save_checkpoint(self, trainer: lightning.Trainer, *_: Any) -> None:
        if self.place == "checkpoint" and trainer.global_step >= self.step:
            real = os.fsync

            def fsync(descriptor: int) -> None:  # half of the file is on disk, under its temporary name
                os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
                real(descriptor)
                os.kill(os.getpid(), signal.SIGKILL)

            os.fsync = fsync  # type: ignore[assignment]


def train(folder: Path, *more: lightning.Callback, seconds: float = 1e-9, patience: int | None = None) -> str:
    """Trains from the last checkpoint in `folder`; SHA-256 of the weights and of history.csv."""
    made, checkpoint = network(), folder / "last.ckpt"
    history = History(METRICS)
    stopping = [EarlyStopping(patience)] if patience else []
    fitting.fit(
        made,
        recipe(epochs=EPOCHS),
        5,
        TRAIN,
        VAL,
        resume_from=str(checkpoint) if checkpoint.is_file() else None,
        callbacks=[history, *stopping, *more, Checkpoints(checkpoint, seconds)],
    )
    rows, _ = history.write(folder)
    assert [row["epoch"] for row in rows] == list(range(len(rows)))
    weights = b"".join(value.numpy().tobytes() for value in made.state_dict().values())
    return hashlib.sha256(weights + (folder / "history.csv").read_bytes()).hexdigest()


def in_a_process(folder: Path, *more: lightning.Callback, kill_after: float | None = None) -> int | None:
    """`train` in a process of its own, killed from outside so many seconds after its next checkpoint; its
    exit code.

    It is forked, so that torch is not imported again; it leaves its digest in `folder`.
    """

    def work() -> None:
        (folder / "digest").write_text(train(folder, *more))

    checkpoint = folder / "last.ckpt"
    before = checkpoint.stat().st_ino if checkpoint.exists() else None
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    if kill_after is not None:
        while process.is_alive() and (not checkpoint.exists() or checkpoint.stat().st_ino == before):
            time.sleep(0.001)
        process.join(kill_after)
        process.kill()
    process.join()
    return process.exitcode


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return train(tmp_path_factory.mktemp("undisturbed"))


def test_twice_the_same(undisturbed: str, tmp_path: Path) -> None:
    assert train(tmp_path, seconds=1e9) == undisturbed


def points(count: int, seed: int) -> list[tuple[int, str]]:
    rng = random.Random(seed)
    return [(rng.randrange(STEPS), rng.choice(Killed.PLACES)) for _ in range(count)]


@pytest.mark.parametrize("step, place", [(4, "checkpoint"), (9, "validation"), (17, "step")])
def test_killed_once(undisturbed: str, tmp_path: Path, step: int, place: str) -> None:
    assert in_a_process(tmp_path, Killed(step, place)) == -signal.SIGKILL
    assert (tmp_path / "last.ckpt").is_file()
    assert train(tmp_path) == undisturbed


@pytest.mark.slow
def test_killed_at_twenty_random_points(undisturbed: str, tmp_path: Path) -> None:
    for number, (step, place) in enumerate(points(20, seed=11)):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert in_a_process(folder, Killed(step, place)) == -signal.SIGKILL, (step, place)
        assert train(folder) == undisturbed, (step, place)


def test_killed_from_outside_again_and_again(undisturbed: str, tmp_path: Path) -> None:
    rng = random.Random(12)
    codes: list[int | None] = [None]
    while codes[-1] != 0:
        codes.append(in_a_process(tmp_path, kill_after=rng.uniform(0, 0.2)))
    assert -signal.SIGKILL in codes
    assert (tmp_path / "digest").read_text() == undisturbed


class Signalled(lightning.Callback):
    """Sends this process a signal, so often, within a step."""

    def __init__(self, step: int, number: int, times: int = 1) -> None:
        self.step, self.number, self.times = step, number, times

    def on_before_zero_grad(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            for _time in range(self.times):
                os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(
    "number, step, kept",
    [(signal.SIGTERM, 4, 5), (signal.SIGINT, 13, 14), (signal.SIGTERM, 9, 10), (signal.SIGTERM, 29, 30)],
)
def test_a_signal_is_answered_after_the_step_with_a_checkpoint(
    undisturbed: str, tmp_path: Path, number: signal.Signals, step: int, kept: int
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=rf"{number.name} after step {kept}, which is kept") as asked:
        train(tmp_path, Signalled(step, number), seconds=1e9)
    assert asked.value.exit_code == 128 + number
    assert signal.getsignal(number) == before
    assert train(tmp_path, seconds=1e9) == undisturbed


def test_a_second_signal_is_answered_at_once(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(tmp_path, Signalled(4, signal.SIGTERM, times=2), seconds=1e9)
    assert list(tmp_path.iterdir()) == []


class Spoiled(lightning.Callback):
    """Makes the weights NaN before a step: its loss is NaN; or after it, where no loss has seen them yet."""

    def __init__(self, step: int, before: bool) -> None:
        self.step, self.before = step, before

    def _spoil(self, module: Any) -> None:
        with torch.no_grad():
            module.network.get_parameter("head.weight")[0] = torch.nan

    def on_train_batch_start(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
        if self.before and trainer.global_step == self.step:
            self._spoil(module)

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
        if not self.before and trainer.global_step == self.step:
            self._spoil(module)


@pytest.mark.parametrize(
    "before, what", [(True, "the loss is nan at step 14"), (False, r"head\.weight hold")]
)
def test_nan_stops_the_training_and_is_not_kept(
    undisturbed: str, tmp_path: Path, before: bool, what: str
) -> None:
    with pytest.raises(
        ModelError, match=rf"(?s){what}.*epoch 1.*that of step 1\d is kept.*lower train.learning_rate"
    ):
        train(tmp_path, Spoiled(13, before))
    assert train(tmp_path) == undisturbed


def test_nan_before_the_first_checkpoint_says_that_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"at step 1 .*none had been written yet"):
        train(tmp_path, Spoiled(0, True))


def test_a_gpu_is_not_waited_for_each_step_and_the_bad_one_is_still_named(tmp_path: Path) -> None:
    callback = Checkpoints(tmp_path / "last.ckpt", 1e9)
    callback._losses = [torch.tensor(value) for value in (1.0, 1.0, torch.inf, torch.nan, 1.0)]

    class Trainer:
        global_step, current_epoch, num_training_batches = 105, 3, 30
        strategy = SingleDeviceStrategy("cpu")

    with pytest.raises(ModelError, match="the loss is inf at step 103"):
        callback._refuse_bad_losses(Trainer())  # type: ignore[arg-type]


def test_a_full_disk_keeps_the_last_good_checkpoint(
    undisturbed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, real = [], Path.write_bytes

    def write(path: Path, content: Any) -> int:
        written.append(path)
        if len(written) < 8:
            return real(path, content)
        real(path, bytes(content)[:100])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", write)
        with pytest.raises(DiskFull, match=r"of step 8 .*that of step 7 is kept.*Free some space"):
            train(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
    assert train(tmp_path) == undisturbed


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"PK no zip")
    with pytest.raises(ModelError, match=r"last.ckpt: this checkpoint is damaged .*Remove the folder"):
        train(tmp_path)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"state_dict": Bomb()}, tmp_path / "last.ckpt")
    with pytest.raises(ModelError, match="no checkpoint of this program"):
        train(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory. Tried"), MemoryError("no more"), None]
)
def test_out_of_memory_says_what_to_change(error: Exception | None) -> None:
    with pytest.raises(ModelError, match=r"out of memory: .*Halve train\.batch_size"), long_run.explained():
        if error:
            raise error
        torch.empty(2**50, dtype=torch.uint8)


def test_other_errors_are_left_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), long_run.explained():
        raise RuntimeError("shapes do not match")


class Worse(lightning.Callback):
    """A validation loss that is lowest in a given epoch."""

    def __init__(self, lowest: int) -> None:
        self.lowest = lowest

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: Any) -> None:
        trainer.callback_metrics["val_loss"] = torch.tensor(abs(trainer.current_epoch - self.lowest) + 1.0)


def stopped_early(folder: Path, *more: lightning.Callback) -> tuple[int, str]:
    """Epochs trained and digest of the weights of a training whose validation loss is lowest in epoch 1."""
    made, checkpoint, stopping = network(), folder / "last.ckpt", EarlyStopping(2)
    fitting.fit(
        made, recipe(epochs=8), 5, TRAIN, VAL,
        resume_from=str(checkpoint) if checkpoint.is_file() else None,
        callbacks=[Worse(1), stopping, *more, Checkpoints(checkpoint, 1e9)],
    )  # fmt: skip
    assert stopping.stopped and stopping.best_epoch == 1
    weights = b"".join(value.numpy().tobytes() for value in made.state_dict().values())
    return torch.load(checkpoint, weights_only=True)["epoch"] + 1, hashlib.sha256(weights).hexdigest()


def test_early_stopping_keeps_the_best_epoch_also_after_an_interruption(tmp_path: Path) -> None:
    epochs, weights = stopped_early(make(tmp_path / "whole"))
    assert epochs == 4
    two = network()
    best = fitting.fit(two, recipe(epochs=8), 5, TRAIN, VAL, callbacks=[After(2)])
    assert best.current_epoch == 2
    assert (
        hashlib.sha256(b"".join(v.numpy().tobytes() for v in two.state_dict().values())).hexdigest()
        == weights
    )
    for step in (25, 39):  # in an epoch; at the end of the one in which it is decided
        folder = make(tmp_path / str(step))
        with pytest.raises(Interrupted):
            stopped_early(folder, Signalled(step, signal.SIGTERM))
        assert stopped_early(folder) == (epochs, weights)


class After(lightning.Callback):
    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: Any) -> None:
        trainer.should_stop = trainer.current_epoch + 1 == self.epochs


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder
