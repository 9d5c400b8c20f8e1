"""What every Lightning training here shares: the trainer, its precision, checkpoints and history."""

import csv
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import lightning
import torch

from pipeline.core import processes
from pipeline.core.artifacts import writing_file
from pipeline.core.errors import ModelError
from pipeline.core.normalisation_over_all import NormalisationOverAll
from pipeline.core.parameters import Hardware


def trainer(
    epochs: int, precision: Literal["auto", "float32", "bfloat16"], hardware: Hardware, **options: Any
) -> lightning.Trainer:
    """A quiet trainer. options: passed to lightning.Trainer."""
    processes.refuse_mismatch(hardware)
    quiet: dict[str, Any] = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return lightning.Trainer(
        **(quiet | options),
        **hardware.model_dump(),
        plugins=[NormalisationOverAll()],
        precision=_precision(precision),
        max_epochs=epochs,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


def _precision(wanted: Literal["auto", "float32", "bfloat16"]) -> Literal["32-true", "bf16-mixed"]:
    """The value "auto" takes bfloat16 where the hardware is faster with it: GPUs since 2020, CPUs with AMX.

    Weights, sums and the optimiser stay float32 in any case. On a CPU without AMX bfloat16 is slower.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            native = torch.cpu._is_amx_tile_supported()
        return "bf16-mixed" if native else "32-true"
    return "bf16-mixed" if wanted == "bfloat16" else "32-true"


def weight(trainer: lightning.Trainer, rows: int) -> int:
    """What `rows` of this process count as in a mean over all processes, as `batch_size` of `log`.

    Lightning 2.6 averages the counts of the processes as whole numbers: of 51 and 50 rows it makes 50.
    """
    return rows * trainer.world_size


class EpochCheckpoint(lightning.Callback):
    """Everything needed to go on, after each epoch, in one file that is always whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        if not trainer.is_global_zero:
            trainer.save_checkpoint(self.path)  # gives its part of it, and writes nothing
            return
        with writing_file(self.path) as partial:
            trainer.save_checkpoint(partial)


class History(lightning.Callback):
    """Appends one row an epoch to a CSV file, and drops rows of epochs that are run again.

    metrics: column -> what Lightning calls the metric
    """

    def __init__(self, path: Path, metrics: Mapping[str, str]) -> None:
        self.path, self.metrics = path, metrics
        self.began = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        self.began = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        epoch, met = trainer.current_epoch, trainer.callback_metrics
        lines = self.path.read_text().splitlines() if self.path.is_file() else []
        kept = [line for line in lines[1:] if int(line.split(",")[0]) < epoch]
        values = [float(met[name]) for name in self.metrics.values()]
        values.append(time.monotonic() - self.began)
        row = ",".join([str(epoch), *(f"{value:.6g}" for value in values)])
        self.path.write_text("\n".join([",".join(["epoch", *self.metrics, "seconds"]), *kept, row]) + "\n")


def rise_and_fall(
    optimiser: torch.optim.Optimizer, peak: float, steps: int, warmup_share: float
) -> torch.optim.lr_scheduler.OneCycleLR:
    """The learning rate rises linearly to its peak, then falls as a cosine to 0 (arXiv:1708.07120).

    The rise needs two steps: a training of so few steps that it has less follows the beginning of a
    longer schedule.
    """
    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        max_lr=peak,
        total_steps=max(steps, math.ceil(2 / warmup_share) + 1),
        pct_start=warmup_share,
        cycle_momentum=False,
    )


def keep_history(path: Path, folder: Path) -> tuple[list[dict[str, float]], float]:
    """Leaves history.csv, what `History` wrote but for its times: the same training leaves the same files.

    Returns its rows, one an epoch, and the seconds of all epochs, those before an interruption too.
    """
    with path.open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    if not rows:
        raise ModelError(f"{path}: no epoch was recorded, so there is no trained network to keep.")
    seconds = sum(row.pop("seconds") for row in rows)
    with (folder / "history.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
    return rows, seconds


def device_name(used: lightning.Trainer) -> str:
    device = used.strategy.root_device
    several = f"{used.world_size} processes, each " if used.world_size > 1 else ""
    if device.type == "cuda":
        return several + str(torch.cuda.get_device_name(device))
    return f"{several}{torch.get_num_threads()} CPU threads"
