"""Baskets read one after another: Hochreiter and Schmidhuber 1997, long short-term memory.

The steps are written out, since torch's own LSTM becomes a loop that the exporter cannot follow; the
sequence is short and its length fixed.
"""

import torch
from torch import Tensor, nn

from pipeline.tasks.recommendation.recipe_parameters import LstmParameters


class Lstm(nn.Module):
    def __init__(self, params: LstmParameters, width: int) -> None:
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
    """Input, forget and output gates and the candidate of the memory, from the basket and the last output."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.from_basket = nn.Linear(width, 4 * width)
        self.from_output = nn.Linear(width, 4 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        output = memory = torch.zeros_like(x[:, 0])
        outputs = []
        for step in self.from_basket(x).unbind(dim=1):
            take, keep, give, candidate = (step + self.from_output(output)).chunk(4, dim=-1)
            memory = torch.sigmoid(keep) * memory + torch.sigmoid(take) * torch.tanh(candidate)
            output = torch.sigmoid(give) * torch.tanh(memory)
            outputs.append(output)
        return torch.stack(outputs, dim=1)


def encoder(params: LstmParameters, width: int) -> nn.Module:
    return Lstm(params, width)
