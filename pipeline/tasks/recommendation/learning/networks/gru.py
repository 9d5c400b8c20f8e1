"""Baskets read one after another with two gates: Cho et al. 2014 (arXiv:1406.1078), gated recurrent unit.

A simpler LSTM: output and memory are one, and one gate says how much of it is kept and how much is new. For
recommendation: Hidasi et al. 2016, GRU4Rec (arXiv:1511.06939). The steps are written out for the exporter, as
in lstm.py.
"""

import torch
from torch import Tensor, nn

from pipeline.tasks.recommendation.recipe_parameters import GruParameters


class Gru(nn.Module):
    def __init__(self, params: GruParameters, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(width) for _ in range(params.layers))
        self.dropout = nn.Dropout(params.dropout)

    def forward(self, baskets: Tensor, there: Tensor) -> Tensor:
        """Missing baskets come first in a sequence and are zeros."""
        read = baskets * there[..., None]
        for layer in self.layers:
            read = layer(read)
        return baskets + self.dropout(read)


class Layer(nn.Module):
    """Reset and update gates and the candidate of the memory, from the basket and the last memory.

    The reset gate stands behind the recurrent weights, as in cuDNN's and torch's GRU, so that one product
    gives all three.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.from_basket = nn.Linear(width, 3 * width)
        self.from_memory = nn.Linear(width, 3 * width)

    def forward(self, x: Tensor) -> Tensor:
        memory = torch.zeros_like(x[:, 0])
        memories = []
        for step in self.from_basket(x).unbind(dim=1):
            reset, update, new = step.chunk(3, dim=-1)
            reset_last, update_last, new_last = self.from_memory(memory).chunk(3, dim=-1)
            keep = torch.sigmoid(update + update_last)
            candidate = torch.tanh(new + torch.sigmoid(reset + reset_last) * new_last)
            memory = keep * memory + (1 - keep) * candidate
            memories.append(memory)
        return torch.stack(memories, dim=1)


def encoder(params: GruParameters, width: int) -> nn.Module:
    return Gru(params, width)
