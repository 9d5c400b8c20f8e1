"""Baskets read one after another: Hochreiter and Schmidhuber 1997, long short-term memory."""

from torch import Tensor, nn

from pipeline.tasks.recommendation.recipe_parameters import LstmParameters


class Lstm(nn.Module):
    def __init__(self, params: LstmParameters, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, params.layers, batch_first=True)
        self.dropout = nn.Dropout(params.dropout)

    def forward(self, baskets: Tensor, there: Tensor) -> Tensor:
        """Missing baskets come first in a sequence and are zeros."""
        read, _ = self.lstm(baskets * there[..., None])
        return baskets + self.dropout(read)


def encoder(params: LstmParameters, width: int) -> nn.Module:
    return Lstm(params, width)
