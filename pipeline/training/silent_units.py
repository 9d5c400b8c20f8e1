"""Units that answer nothing: those of a rectifier that is silent for a whole batch learn nothing from it."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

# Activations, and the size of an output below which hardly any gradient passes. That of a rectifier is 0;
# GELU and SiLU come near it where their input is below about -3 and -6.
QUIET: Mapping[Callable[..., Tensor], float] = {
    F.relu: 0.0,
    torch.relu: 0.0,
    torch.relu_: 0.0,
    Tensor.relu: 0.0,
    Tensor.relu_: 0.0,
    F.gelu: 0.01,
    F.silu: 0.01,
}


class SilentUnits(TorchFunctionMode):
    """While it is entered, measures every activation that is computed, in whatever module or function.

    shares: for each activation, in the order of computation, the share of its units that are silent for all
    rows, as a tensor without dimensions; a unit is a channel of (N, C, H, W), else an entry of the last axis
    largest: of the largest output of each unit here, that in all processes, where several share the rows
    """

    def __init__(self, largest: Callable[[Tensor], Tensor] = lambda here: here) -> None:
        super().__init__()
        self.largest = largest
        self.shares: list[Tensor] = []

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        if function in QUIET:
            with torch.no_grad():
                others = [
                    axis for axis in range(made.ndim) if axis != (1 if made.ndim == 4 else made.ndim - 1)
                ]
                size = self.largest(made.abs().amax(dim=others).float())
                self.shares.append((size <= QUIET[function]).float().mean())
        return made
