"""Baskets read by self-attention: Vaswani et al. 2017 (arXiv:1706.03762), one or more layers."""

import torch
from torch import Tensor, nn

from pipeline.tasks.recommendation.recipe_parameters import TransformerParameters


class Transformer(nn.Module):
    def __init__(self, params: TransformerParameters, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(params, width) for _ in range(params.layers))

    def forward(self, baskets: Tensor, there: Tensor) -> Tensor:
        for layer in self.layers:
            baskets = layer(baskets, there)
        return baskets


class Layer(nn.Module):
    """Attention, then two linear maps, each normalised before and added to what came in."""

    def __init__(self, params: TransformerParameters, width: int) -> None:
        super().__init__()
        self.heads = params.heads
        self.before_attention, self.before_maps = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.maps = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(params.dropout), nn.Linear(2 * width, width)
        )
        self.dropout = nn.Dropout(params.dropout)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        size, length, width = x.shape
        split = self.queries_keys_values(self.before_attention(x)).view(size, length, 3, self.heads, -1)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        scores = query @ key.transpose(2, 3) / (width / self.heads) ** 0.5
        scores = scores + torch.where(there, 0.0, -1e4)[:, None, None, :]
        mixed = (torch.softmax(scores, dim=-1) @ value).transpose(1, 2).reshape(size, length, width)
        x = x + self.dropout(self.out(mixed))
        return x + self.dropout(self.maps(self.before_maps(x)))


def encoder(params: TransformerParameters, width: int) -> nn.Module:
    return Transformer(params, width)
