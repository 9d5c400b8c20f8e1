"""Checks of seconds before the long run; each that fails stops it and says what that means.

In the order in which faults hide each other: what is not a number, what is silent from the beginning, a
loss that is not what theory says, answers that do not depend on their input or depend on other rows, weights
that nothing reaches, a batch that cannot be learnt by heart, a learning rate that does not work, targets that
do not belong to their inputs. None knows the task; a task's sanity.py says what is checked.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.core.errors import ModelError
from pipeline.core.parameters import Checks
from pipeline.training.silent_units import SilentUnits

OVERFIT_STEPS = 60
OVERFIT_RATE = 0.01  # AdamW's; a network that can learn at all overfits one batch with it
LEARNT = 0.1  # share of what may be left at which there is nothing more to see
ROW_TOLERANCE = 1e-4  # of the largest output; float32 sums in another order differ by less
RANGE = (1e-3, 1e2)  # times the configured learning rate
FALL_MIN = 0.01  # share of the loss that a step at a sensible rate takes off, at least
DIVERGED = 4.0  # times the first loss
UNSEEN_MIN = 100  # rows; fewer do not show whether targets belong to their inputs
Tensors = Sequence[Tensor]


@dataclass(frozen=True)
class Trial:
    """What is checked: a network, rows of the training data and what the training does with them.

    network: a copy, thrown away; inputs, targets: tensors (N, ...) each
    loss: of outputs, inputs and targets, a mean over the rows; mixed_up: targets of the same kind that do not
    belong to the inputs; optimiser: of a network, with a learning rate
    batch: rows of a batch; unit: what a row is, in words, many of them
    """

    network: nn.Module
    inputs: Tensors
    targets: Tensors
    loss: Callable[[Tensor, Tensors, Tensors], Tensor]
    mixed_up: Callable[[Tensors, Tensors], Tensors]
    optimiser: Callable[[nn.Module, float], torch.optim.Optimizer]
    batch: int
    unit: str

    @property
    def rows(self) -> int:
        return len(self.inputs[0])

    def batches_of(self, steps: int, rows: int) -> list[tuple[Tensors, Tensors]]:
        """`steps` batches of the first `rows` rows, from the beginning again when they are used up."""
        places = torch.arange(steps * min(self.batch, rows)).view(steps, -1) % rows
        return [(_at(self.inputs, place), _at(self.targets, place)) for place in places]

    @property
    def first(self) -> tuple[Tensors, Tensors]:
        return _at(self.inputs, slice(self.batch)), _at(self.targets, slice(self.batch))


def all_numbers(trial: Trial) -> None:
    """No NaN, no infinity in what the network is given."""
    for what, tensors in (("inputs", trial.inputs), ("targets", trial.targets)):
        for place, tensor in enumerate(tensors):
            bad = (~tensor.isfinite()).flatten(1).any(1) if tensor.ndim > 1 else ~tensor.isfinite()
            if bad.any():
                row = int(bad.nonzero()[0])
                raise ModelError(
                    f"train: {int(bad.sum())} of {trial.rows} {trial.unit} hold NaN or infinity in their "
                    f"{what} (tensor {place}, first in row {row} of the sample). The loss would become NaN. "
                    "Mend the data, or what `prepare` makes of it."
                )


def initial_loss(trial: Trial, expected: float, low: float, high: float, theory: str) -> float:
    """The untrained network's loss is what theory says: between `low` and `high` times `expected`."""
    inputs, targets = trial.first
    with torch.no_grad():
        outputs = trial.network.train()(*inputs)
        if not outputs.isfinite().all():
            raise ModelError(
                "train: the untrained network answers NaN or infinity to sound inputs. Its initialisation or "
                "the scale of its input is off, or it divides by zero."
            )
        loss = float(trial.loss(outputs, inputs, targets))
    if not low * expected < loss < high * expected:
        raise ModelError(
            f"train: the untrained network's loss is {loss:.3f}, about {theory} = {expected:.3f} is "
            "right. Its initialisation or the scale of its input is off."
        )
    return loss


def units_answer(trial: Trial, silent_share_max: float) -> float:
    """No activation is silent from the beginning. Returns the largest share of silent units."""
    with SilentUnits() as units, torch.no_grad():
        trial.network.train()(*trial.first[0])
    shares = [float(share) for share in units.shares]
    for place, share in enumerate(shares):
        if share > silent_share_max:
            raise ModelError(
                f"train: {share:.0%} of the units of activation {place} answer nothing to a whole batch "
                "before any training (dead rectifiers): no gradient passes them. The initialisation before "
                "it, its biases or the scale of the input are off."
            )
    return max(shares, default=0.0)


def rows_are_independent(trial: Trial) -> None:
    """A row's answer depends on that row, and on no other: not on their order, not on how many there are."""
    inputs, _ = trial.first
    rows = len(inputs[0])
    with torch.no_grad():
        network = trial.network.eval()
        together = network(*inputs)
        order = torch.randperm(rows)
        back = torch.argsort(order)
        reordered = network(*_at(inputs, order))[back]
        half = rows // 2
        apart = torch.cat([network(*_at(inputs, part)) for part in (slice(half), slice(half, rows))])
    size = float(together.abs().max())
    if float((together - together[:1]).abs().max()) <= 1e-6 * size:
        raise ModelError(
            f"train: the network answers the same to {rows} different {trial.unit}: its output does not "
            "depend on its input. A layer multiplies by zero, or the input is not used."
        )
    for other, what in ((reordered, "stand in another order"), (apart, "are fewer")):
        difference = float((together - other).abs().max())
        if difference > ROW_TOLERANCE * size:
            raise ModelError(
                f"train: answers change by up to {difference:.2g} when the other {trial.unit} of their batch "
                f"{what} ({ROW_TOLERANCE * size:.2g} is allowed). Something mixes rows: a normalisation that "
                "stays in training mode, a softmax or a reshape along the wrong axis."
            )


def overfits_one_batch(trial: Trial, floor: float, share: float) -> float:
    """Any working network can learn one batch by heart, and every weight takes part. Returns the last loss.

    floor: the lowest loss there can be; share: of the first loss above it that may be left
    """
    inputs, targets = trial.first
    network = trial.network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=OVERFIT_RATE)
    losses = []
    for step in range(OVERFIT_STEPS):
        loss = trial.loss(network(*inputs), inputs, targets)
        optimiser.zero_grad()
        loss.backward()
        if step == 0:
            _gradients_reach(network)
        optimiser.step()
        losses.append(float(loss.detach()))
        if losses[-1] - floor < LEARNT * share * (losses[0] - floor):
            break
    first, last = losses[0], losses[-1]
    if not last - floor < share * (first - floor):
        raise ModelError(
            f"train: one batch of {len(inputs[0])} {trial.unit} could not be learnt by heart: the loss went "
            f"from {first:.3f} to {last:.3f} in {len(losses)} steps, {floor:.3f} is its floor. Inputs and "
            "targets may not belong together, or the network cannot learn."
        )
    return last


def _gradients_reach(network: nn.Module) -> None:
    parameters = dict(network.named_parameters())
    idle = [name for name, p in parameters.items() if p.grad is None or not p.grad.any()]
    if idle:
        raise ModelError(
            f"train: no gradient reaches {', '.join(idle)}; they would never learn. They are frozen, not "
            "used in the forward pass, cut off by detach() or no_grad(), or behind units that are silent."
        )
    bad = [name for name, p in parameters.items() if p.grad is not None and not p.grad.isfinite().all()]
    if bad:
        raise ModelError(
            f"train: the first gradient of {', '.join(bad)} is NaN or infinite: a square root, a logarithm "
            "or a division at 0 in the network or its loss."
        )


def learning_rate_range(trial: Trial, rate: float, checks: Checks) -> float:
    """Learning-rate range test (Smith 2015, arXiv:1506.01186), on one batch, so that no noise hides a fall.

    The rate rises geometrically over RANGE; the loss must fall before the configured rate, and must not have
    diverged there. Returns a tenth of the rate at which it was lowest, a usual first choice.
    """
    inputs, targets = trial.first
    network = copy.deepcopy(trial.network).train()
    optimiser = trial.optimiser(network, rate)
    low, high = RANGE
    found: list[tuple[float, float]] = []
    for step in range(checks.steps):
        tried = rate * low * (high / low) ** (step / (checks.steps - 1))
        loss = trial.loss(network(*inputs), inputs, targets)
        found.append((tried, float(loss.detach())))
        if not math.isfinite(found[-1][1]) or found[-1][1] > DIVERGED * found[0][1]:
            break
        optimiser.zero_grad()
        loss.backward()
        _set_rate(optimiser, tried)
        optimiser.step()
    else:
        tried = math.inf
    best_rate, lowest = min(found, key=lambda pair: pair[1] if math.isfinite(pair[1]) else math.inf)
    if tried <= rate:
        raise ModelError(
            f"train: the loss diverges (from {found[0][1]:.3g} to {found[-1][1]:.3g}) at a learning rate of "
            f"{tried:.2g} already, train.learning_rate is {rate:.2g}. Try {best_rate / 10:.1g}."
        )
    reached = min(loss for tried, loss in found if tried <= rate)
    if not reached < (1 - FALL_MIN) * found[0][1]:
        raise ModelError(
            f"train: the loss does not fall at any learning rate up to train.learning_rate = {rate:.2g}: "
            f"from {found[0][1]:.4g} to {reached:.4g} at best. It was lowest ({lowest:.4g}) at "
            f"{best_rate:.2g}; try {best_rate / 10:.1g}. If no rate helps, the optimiser does not hold the "
            "network's weights."
        )
    return best_rate / 10


def targets_belong(trial: Trial, rate: float, checks: Checks) -> float | None:
    """What a short training learns holds for rows that it did not see, and for their own targets.

    A network learns mixed-up targets by heart as well; here it cannot. Returns how many standard errors lie
    between the losses with the right and with mixed-up targets; None where there are too few rows to tell.
    """
    unseen = trial.rows // 4
    if unseen < UNSEEN_MIN:
        return None
    network = copy.deepcopy(trial.network).train()
    optimiser = trial.optimiser(network, rate)
    for step, (inputs, targets) in enumerate(trial.batches_of(checks.steps, trial.rows - unseen)):
        loss = trial.loss(network(*inputs), inputs, targets)
        optimiser.zero_grad()
        loss.backward()
        _set_rate(optimiser, rate * (step + 1) / checks.steps)
        optimiser.step()
    inputs, targets = (_at(tensors, slice(-unseen, None)) for tensors in (trial.inputs, trial.targets))
    with torch.no_grad():
        outputs = network(*inputs)  # in training mode: running means follow such a short training too late
    if not outputs.isfinite().all():
        raise ModelError(
            f"train: {checks.steps} steps in which the rate rises to train.learning_rate = {rate:.2g} end in "
            "NaN. Lower it to a third, to begin with."
        )
    losses = [_of_rows(trial, outputs, inputs, t) for t in (targets, trial.mixed_up(targets, inputs))]
    difference = losses[1] - losses[0]
    z = float(difference.mean() / (difference.std() / math.sqrt(unseen)).clamp(min=1e-12))
    if checks.line_up_z_min and not z >= checks.line_up_z_min:
        raise ModelError(
            f"train: after {checks.steps} steps, {unseen} {trial.unit} that were not seen are predicted no "
            f"better than with mixed-up targets ({z:.1f} standard errors, {checks.line_up_z_min:g} are "
            "wanted). Inputs and targets do not belong together (sorted, shuffled or joined apart from each "
            "other), or the task is so hard that it takes longer to show: then set "
            "train.checks.line_up_z_min to 0 in params.yaml."
        )
    return z


def _of_rows(trial: Trial, outputs: Tensor, inputs: Tensors, targets: Tensors) -> Tensor:
    """The loss of each row for itself, (N,)."""
    rows = [slice(i, i + 1) for i in range(len(outputs))]
    return torch.stack([trial.loss(outputs[row], _at(inputs, row), _at(targets, row)) for row in rows])


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def _at(tensors: Tensors, rows: slice | Tensor) -> list[Tensor]:
    return [tensor[rows] for tensor in tensors]
