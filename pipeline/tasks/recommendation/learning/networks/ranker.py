"""A network that ranks candidates from counts, and from the sequence of baskets.

A product is known by what it is (type, manufacturer, category, brand), not by its number: numbers of
products were learnt by heart. A basket is the mean of its products and how long ago it was; an encoder
(transformer, LSTM or GRU) reads the baskets in their order. For each candidate the network looks up, in what
the encoder made of the baskets, those that held the very product, those that held its type, and those
that are alike (attention). All of it and the features (data/features.py) go through a small multilayer
perceptron to one score.
"""

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.tasks.recommendation.recipe_parameters import Network

TYPE, CATEGORY, MANUFACTURER, BRAND = 0, 1, 3, 4  # columns of the codes
LOOK_UP = 12  # figures looked up in the baskets for each candidate and each way
OUTLIER = 6.0  # standard deviations
DAYS_SCALE, COUNT_SCALE = 3.0, 3.0  # bring logarithms to about 1


class Ranker(nn.Module):
    """products int (B, C), features float32 (B, C, F), sequence int (B, L, n), ages float32 (B, L),
    held int32 (B, C, 3) as in data/inputs.py -> scores float32 (B, C).
    Products: place in `codes`; -1 is none, the place after the last unknown."""

    bits: Tensor
    vectors: Tensor | None  # float32 (P + 1, D), of all products
    codes: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        params: Network,
        encoder: nn.Module,
        codes: np.ndarray,
        mean: np.ndarray,
        std: np.ndarray,
        baskets: int,
    ) -> None:
        super().__init__()
        unknown = np.zeros((1, codes.shape[1]), dtype=codes.dtype)
        self.register_buffer("codes", torch.from_numpy(np.concatenate([codes, unknown])).to(torch.int32))
        self.register_buffer("bits", 2 ** torch.arange(baskets, dtype=torch.int32), persistent=False)
        self.register_buffer("vectors", None)
        self.register_buffer("mean", torch.tensor(mean))  # copied: no two buffers share memory
        self.register_buffer("std", torch.tensor(std))
        width, sizes = params.width, codes.max(axis=0) + 1
        dimensions = {
            TYPE: params.type_width,
            MANUFACTURER: params.manufacturer_width,
            CATEGORY: params.category_width,
            BRAND: params.brand_width,
        }
        self.columns = tuple(dimensions)
        self.embeddings = nn.ModuleList(
            nn.Embedding(int(sizes[column]), wide) for column, wide in dimensions.items()
        )
        for weight in self.embeddings.parameters():
            nn.init.normal_(weight, std=0.1)
        self.product = nn.Linear(sum(dimensions.values()), width)
        self.when = nn.Sequential(nn.Linear(2, 16), nn.GELU(), nn.Linear(16, width))
        self.position = nn.Parameter(torch.randn(baskets, width) * 0.05)
        self.encoder = encoder
        self.of_same, self.of_type, self.of_alike = (nn.Linear(width, LOOK_UP) for _ in range(3))
        self.taste = nn.Linear(width, width)
        self.itself = nn.Linear(width, LOOK_UP)
        self.product_dropout = nn.Dropout(2 * params.dropout)
        layers: list[nn.Module] = []
        inputs = len(mean) + 4 * LOOK_UP + 1
        for hidden in params.hidden:
            layers += [nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(params.dropout)]
            inputs = hidden
        # A bias would add the same to all candidates, which changes neither their order nor the loss.
        self.score = nn.Sequential(*layers, nn.Linear(inputs, 1, bias=False))

    def forward(
        self, products: Tensor, features: Tensor, sequence: Tensor, ages: Tensor, held: Tensor
    ) -> Tensor:
        candidate = self.product_dropout(self._embed(products))
        there = (sequence >= 0).any(dim=-1)
        read = self._read(sequence, ages, there)

        same, once, twice = (((held[..., i, None] & self.bits) != 0).to(features.dtype) for i in range(3))
        alike = candidate @ read.transpose(1, 2) / candidate.shape[-1] ** 0.5
        alike = torch.softmax(alike + torch.where(there, 0.0, -1e4)[:, None, :], dim=-1)
        taste = (self.taste(read[:, -1])[:, None] * candidate).sum(dim=-1, keepdim=True)
        scaled = ((features - self.mean) / self.std).clamp(-OUTLIER, OUTLIER)
        known = torch.cat(
            [
                scaled,
                same @ self.of_same(read),
                (once + twice) @ self.of_type(read),
                alike @ self.of_alike(read),
                taste,
                self.itself(candidate),
            ],
            dim=-1,
        )
        return self.score(known).squeeze(-1)

    def _read(self, sequence: Tensor, ages: Tensor, there: Tensor) -> Tensor:
        """What the encoder makes of the baskets, (B, L, D); zeros where there is none."""
        real = sequence >= 0
        count = real.sum(dim=-1, keepdim=True)
        baskets = (self._embed(sequence) * real[..., None]).sum(dim=-2) / count.clamp(min=1)
        when = [torch.log1p(ages) / DAYS_SCALE, torch.log1p(count[..., 0].float()) / COUNT_SCALE]
        baskets = baskets + self.when(torch.stack(when, dim=-1)) + self.position
        return self.encoder(baskets, there) * there[..., None]

    def with_vectors(self) -> "Ranker":
        """The same network for answering alone: what stands for each product is looked up, not computed."""
        answering = copy.deepcopy(self).eval()
        with torch.inference_mode():
            vectors = self.eval()._embed(torch.arange(len(self.codes)))
        answering.register_buffer("vectors", vectors.clone())
        return answering

    def _embed(self, products: Tensor) -> Tensor:
        """float32 (..., D)"""
        if self.vectors is not None:
            return F.embedding(self._place(products), self.vectors)
        return self.product(self.looked_up(products))

    def looked_up(self, products: Tensor) -> Tensor:
        """The figures learnt for type, manufacturer, category and brand of each product, beside each
        other."""
        known = [
            embedding(self._code(products, column))
            for column, embedding in zip(self.columns, self.embeddings, strict=True)
        ]
        return torch.cat(known, dim=-1)

    def _code(self, products: Tensor, column: int) -> Tensor:
        """0 where there is no product."""
        return self.codes[:, column][self._place(products)].long()

    def _place(self, products: Tensor) -> Tensor:
        """No product stands where the unknown one does."""
        return torch.where(products < 0, len(self.codes) - 1, products).long()
