"""What each epoch of a training came to: kept in its checkpoints, left as history.csv."""

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from pipeline.core.errors import ModelError

TRAIN_LOSS = "train_loss_epoch"


class History(lightning.Callback):
    """One row an epoch: its number, the mean loss of its steps, metrics of the validation, seconds.

    Lightning forgets the sums behind an epoch's means when a training is interrupted; here they are part of
    the checkpoint, so that the rows are those of an undisturbed training. Seconds of steps that had to be
    trained again count once. Several processes have the same rows: losses are means over all of them.
    """

    def __init__(self, metrics: Mapping[str, str]) -> None:
        """metrics: column -> what Lightning calls the metric"""
        self.metrics = metrics
        self.rows: list[dict[str, float]] = []
        self._sum, self._steps, self._seconds = torch.zeros((), dtype=torch.float64), 0, 0.0

    def state_dict(self) -> dict[str, Any]:
        seconds, of_all = time.monotonic() - self._began, float(self._over_all(self._sum))
        return {"rows": self.rows, "sum": of_all, "steps": self._steps, "seconds": seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self._steps, self._seconds = state["rows"], state["steps"], state["seconds"]
        self._sum = torch.tensor(state["sum"], dtype=torch.float64)

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._sum, self._strategy = self._sum.to(module.device), trainer.strategy
        self._began = time.monotonic() - self._seconds

    def on_train_epoch_start(self, *_: Any) -> None:
        self._sum, self._steps = torch.zeros_like(self._sum), 0
        self._began = time.monotonic()

    def on_train_batch_end(self, _t: Any, _m: Any, outputs: Any, *_: Any) -> None:
        self._sum += outputs["loss"].detach()
        self._steps += 1

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        mean = self._over_all(self._sum) / self._steps
        module.log(TRAIN_LOSS, mean.float(), sync_dist=True)
        met = trainer.callback_metrics
        row = {"epoch": float(trainer.current_epoch), "train_loss": float(mean)}
        row |= {name: float(met[metric]) for name, metric in self.metrics.items()}
        self.rows.append(row | {"seconds": time.monotonic() - self._began})

    def _over_all(self, value: Tensor) -> Tensor:
        """The mean over all processes, each of which must ask for it."""
        mean: Tensor = self._strategy.reduce(value.clone(), reduce_op="mean")
        return mean

    def write(self, folder: Path) -> tuple[list[dict[str, float]], float]:
        """Leaves history.csv, without times: the same training leaves the same files.

        Returns its rows, and the seconds of all epochs, those before an interruption too.
        """
        if not self.rows:
            raise ModelError("train: no epoch was recorded, so there is no trained network to keep.")
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in self.rows]
        with (folder / "history.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
        return rows, sum(row["seconds"] for row in self.rows)
