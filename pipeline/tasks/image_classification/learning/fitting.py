"""Fitting a classifier with Lightning; the same code for the pilots, the label audit and `train`."""

from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.core.parameters import ONE_DEVICE, Hardware
from pipeline.tasks.image_classification.learning.augmentation import RandomAffine
from pipeline.tasks.image_classification.recipe_parameters import Recipe
from pipeline.training import lightning_training, optimisation
from pipeline.training.batches import Batches, epoch_seed, on_device

PREDICTION_BATCH = 1024  # images


class Classifier(lightning.LightningModule):
    """A network with its loss (cross-entropy), optimiser and augmentation."""

    def __init__(self, network: nn.Module, recipe: Recipe, seed: int) -> None:
        super().__init__()
        self.network, self.recipe, self.seed = network, recipe, seed
        affine = recipe.augmentation
        self.augment = RandomAffine(**affine.model_dump()) if affine else None
        self.generator = torch.Generator()

    def on_train_epoch_start(self) -> None:
        self.generator.manual_seed(epoch_seed(self.seed + 1, self.current_epoch))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["augmentation"] = self.generator.get_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.generator.set_state(checkpoint["augmentation"])

    def on_after_batch_transfer(self, batch: tuple[Tensor, ...], _: int) -> tuple[Tensor, ...]:
        pixels, *others = batch
        if self.trainer.training and self.augment is not None:
            trainer = self.trainer
            pixels = self.augment(pixels, self.generator, trainer.global_rank, trainer.world_size)
        return pixels, *others

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> dict[str, Tensor]:
        """The loss, and for callbacks the logits (B, K). The third tensor of a batch: its rows of `train`."""
        pixels, labels, _rows = batch
        logits = self.network(pixels)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        self.log("train_loss_step", loss, on_step=True, on_epoch=False, sync_dist=True)
        return {"loss": loss, "logits": logits.detach()}

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        pixels, labels = batch
        logits = self.network(pixels)
        accuracy = (logits.argmax(1) == labels).float().mean()
        rows = lightning_training.weight(self.trainer, len(labels))
        for name, value in (("val_loss", F.cross_entropy(logits, labels)), ("val_accuracy", accuracy)):
            self.log(name, value, batch_size=rows, prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> Any:
        recipe = self.recipe
        optimiser = optimisation.optimiser(
            recipe.optimiser, self.network, recipe.learning_rate, recipe.weight_decay
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = optimisation.schedule(recipe.schedule, optimiser, recipe.learning_rate, steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def fit(
    network: nn.Module,
    recipe: Recipe,
    seed: int,
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray] | None = None,
    *,
    hardware: Hardware = ONE_DEVICE,
    resume_from: str | None = None,
    **trainer_options: Any,
) -> lightning.Trainer:
    """Trains `network` in place.

    train, val: pixels uint8 (N, C, H, W) and labels int64 (N,); seed: of order and augmentation
    resume_from: a checkpoint of an earlier, interrupted call with the same arguments
    trainer_options: passed to lightning.Trainer (logger, callbacks, ...)
    """
    trainer = lightning_training.trainer(recipe.epochs, recipe.precision, hardware, **trainer_options)
    device = trainer.strategy.root_device
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    rows = np.arange(len(train[1]))  # callbacks that follow single images need to know which they are
    share: dict[str, int] = {"rank": trainer.global_rank, "processes": trainer.world_size}
    train_batches = Batches(
        on_device((*train, rows), device), recipe.batch_size, seed=seed, shuffle=True, **share
    )
    val_batches = val and Batches(on_device(val, device), PREDICTION_BATCH, seed=seed, shuffle=False, **share)
    trainer.fit(
        Classifier(network, recipe, seed),
        train_batches,
        val_batches,
        ckpt_path=resume_from,
        weights_only=True,
    )
    return trainer


@torch.inference_mode()
def predict(network: nn.Module, pixels: np.ndarray) -> np.ndarray:
    """Logits float32 (N, K) of uint8 pixels (N, C, H, W), computed where the network lies."""
    network.eval()
    device = next(network.parameters()).device
    logits = [
        network(torch.tensor(pixels[i : i + PREDICTION_BATCH]).to(device)).cpu()
        for i in range(0, len(pixels), PREDICTION_BATCH)
    ]
    return torch.cat(logits).numpy()
