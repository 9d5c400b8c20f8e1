"""Fitting a ranker with Lightning; the same code for the pilots and for `train`."""

from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.core.parameters import ONE_DEVICE, Hardware
from pipeline.tasks.recommendation.learning.examples import Examples
from pipeline.tasks.recommendation.learning.networks.ranker import Ranker
from pipeline.tasks.recommendation.learning.ranking import recall
from pipeline.tasks.recommendation.recipe_parameters import Recipe
from pipeline.training import lightning_training, optimisation
from pipeline.training.batches import Batches, epoch_seed, on_device

VALIDATION_BATCH = 256  # questions
MINUS_INFINITY = -1e4  # score of what is no candidate; finite, so that no gradient is NaN
STATISTICS_ROWS = 1000  # questions whose candidates give mean and standard deviation of the features


class Ranking(lightning.LightningModule):
    """A ranker with its loss (listwise cross-entropy) and optimiser."""

    def __init__(self, ranker: Ranker, recipe: Recipe, seed: int) -> None:
        super().__init__()
        self.ranker, self.recipe, self.seed = ranker, recipe, seed

    def on_train_epoch_start(self) -> None:
        # Dropout, also after a resume; other figures are hidden in each process.
        torch.manual_seed(epoch_seed(self.seed + 1 + self.trainer.global_rank, self.current_epoch))

    def training_step(self, batch: tuple[Tensor, ...], _: int) -> Tensor:
        *given, relevant, bought, _wanted = batch
        scores = self.ranker(*given).masked_fill(given[0] < 0, MINUS_INFINITY)
        loss = self._loss(scores, relevant)
        if self.recipe.new_weight:
            new = self._loss(scores.masked_fill(bought, MINUS_INFINITY), relevant * ~bought)
            loss = loss + self.recipe.new_weight * new
        self.log("train_loss_step", loss, on_step=True, on_epoch=False, sync_dist=True)
        return loss

    def _loss(self, scores: Tensor, relevant: Tensor) -> Tensor:
        """This process's share of the batch's loss: the mean over the processes is the loss of the batch."""
        total = self.trainer.strategy.reduce(question_weights(relevant).sum(), reduce_op="sum")
        return listwise(scores, relevant, total) * self.trainer.world_size

    def validation_step(self, batch: tuple[Tensor, ...], _: int) -> None:
        *given, relevant, _bought, wanted = batch
        scores = self.ranker(*given).masked_fill(given[0] < 0, MINUS_INFINITY)
        found = recall(scores.float().cpu().numpy(), relevant.cpu().numpy(), wanted.cpu().numpy(), 20)
        # Shares of one loss weigh alike, however many questions a process has; recall is a mean over its own.
        whole = self.trainer.strategy.reduce(
            torch.tensor(float(len(scores)), device=self.device), reduce_op="sum"
        )
        rows = {"val_loss": int(whole), "val_recall": lightning_training.weight(self.trainer, len(scores))}
        measured: dict[str, Any] = {"val_loss": self._loss(scores, relevant), "val_recall": found.mean()}
        for name, value in measured.items():
            self.log(name, float(value), batch_size=rows[name], prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> Any:
        recipe = self.recipe
        optimiser = optimisation.optimiser(
            recipe.optimiser, self.ranker, recipe.learning_rate, recipe.weight_decay
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = optimisation.schedule(recipe.schedule, optimiser, recipe.learning_rate, steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def listwise(scores: Tensor, relevant: Tensor, total: Tensor | None = None) -> Tensor:
    """Cross-entropy between the scores' softmax and the relevant candidates, each alike: ListNet's loss
    (Cao et al. 2007). scores, relevant: (B, C). A question counts by the root of how many are relevant;
    one without any does not count. total: of these weights, where not the sum of those given."""
    count = relevant.sum(dim=1)
    loss = -(F.log_softmax(scores, dim=1) * relevant).sum(dim=1) / count.clamp(min=1)
    weight = question_weights(relevant)
    return (loss * weight).sum() / (weight.sum() if total is None else total).clamp(min=1)


def question_weights(relevant: Tensor) -> Tensor:
    """What each question counts in the loss, float32 (B,)."""
    return relevant.sum(dim=1).sqrt()


def feature_statistics(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature, float32 (F,), over candidates of training questions."""
    rows = np.linspace(0, len(examples) - 1, min(STATISTICS_ROWS, len(examples))).astype(int)
    values = examples.inputs.features[rows][examples.inputs.products[rows] >= 0]
    return values.mean(axis=0), values.std(axis=0) + 1e-3


def arrays(examples: Examples) -> tuple[np.ndarray, ...]:
    """What a batch holds, in its order: what the network takes, products first, then the answers."""
    made = examples.inputs
    return (*made.given(slice(None)), examples.relevant, made.bought, examples.wanted)


def fit(
    ranker: Ranker,
    recipe: Recipe,
    seed: int,
    train: Examples,
    val: Examples | None = None,
    *,
    hardware: Hardware = ONE_DEVICE,
    resume_from: str | None = None,
    **trainer_options: Any,
) -> lightning.Trainer:
    """Trains `ranker` in place.

    seed: of order and dropout; resume_from: a checkpoint of an earlier, interrupted call with the same
    arguments; trainer_options: passed to lightning.Trainer (logger, callbacks, ...)
    """
    trainer = lightning_training.trainer(
        recipe.epochs, recipe.precision, hardware, gradient_clip_val=recipe.clip, **trainer_options
    )
    device = trainer.strategy.root_device
    share: dict[str, int] = {"rank": trainer.global_rank, "processes": trainer.world_size}
    batches = Batches(on_device(arrays(train), device), recipe.batch_size, seed=seed, shuffle=True, **share)
    val_batches = val and Batches(
        on_device(arrays(val), device), VALIDATION_BATCH, seed=seed, shuffle=False, **share
    )
    trainer.fit(Ranking(ranker, recipe, seed), batches, val_batches, ckpt_path=resume_from, weights_only=True)
    return trainer
