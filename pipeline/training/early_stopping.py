"""Early stopping whose state and decision outlive an interruption."""

from typing import Any

import lightning
from torch import Tensor

MONITORED = "val_loss"


class EarlyStopping(lightning.Callback):
    """Ends the training when the validation loss was no lower for `patience` epochs, with the weights of
    the epoch at which it was lowest.

    Lightning's own takes its decision after the checkpoint of the epoch is written, and forgets it.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.lowest, self.best_epoch, self.stopped = float("inf"), -1, False
        self.weights: dict[str, Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        return {
            "lowest": self.lowest,
            "best_epoch": self.best_epoch,
            "stopped": self.stopped,
            "weights": self.weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.lowest, self.best_epoch = state["lowest"], state["best_epoch"]
        self.stopped, self.weights = state["stopped"], state["weights"]

    def on_train_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        if self.stopped:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        # The first process decides for all of them.
        loss = trainer.strategy.broadcast(float(trainer.callback_metrics[MONITORED]))
        if loss < self.lowest:
            self.lowest, self.best_epoch = loss, trainer.current_epoch
            self.weights = {name: value.detach().clone() for name, value in module.state_dict().items()}
        elif trainer.current_epoch - self.best_epoch >= self.patience and not _is_last_epoch(trainer):
            self.stopped = trainer.should_stop = True

    def on_train_end(self, _: lightning.Trainer, module: lightning.LightningModule) -> None:
        if self.stopped:
            module.load_state_dict(self.weights)


def _is_last_epoch(trainer: lightning.Trainer) -> bool:
    return trainer.max_epochs is not None and trainer.current_epoch + 1 >= trainer.max_epochs
