"""How a recommender is trained: the recipe of `train`, and of the pilots of `forecast`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.core.optimisation_parameters import Optimiser, Schedule
from pipeline.core.parameters import Count, Share, Strict

BASKETS_MAX = 30  # as many bits as fit a number of data/inputs.py


class RetrievalParameters(Strict):
    """Candidates and what is counted for them (data/retrieval.py)."""

    repeats: int = Count
    similar: int = Count
    affine: int = Count
    popular: int = Count
    together: int = Count
    similarity_items: int = Field(ge=2)
    ridge: float = Field(gt=0)
    neighbours: int = Count
    neighbour_pool: int = Field(ge=2)
    baskets: int = Field(ge=1, le=BASKETS_MAX)
    basket_products: int = Count


class TransformerParameters(Strict):
    """Baskets read by self-attention (networks/transformer.py)."""

    name: Literal["transformer"]
    layers: int = Count
    heads: int = Count
    dropout: float = Field(ge=0, lt=1)


class LstmParameters(Strict):
    """Baskets read one after another (networks/lstm.py)."""

    name: Literal["lstm"]
    layers: int = Count
    dropout: float = Field(ge=0, lt=1)


class GruParameters(Strict):
    """Baskets read one after another, with fewer gates (networks/gru.py)."""

    name: Literal["gru"]
    layers: int = Count
    dropout: float = Field(ge=0, lt=1)


class Network(Strict):
    """Shape of the ranking network (networks/ranker.py)."""

    sequence: Annotated[TransformerParameters | LstmParameters | GruParameters, Field(discriminator="name")]
    width: int = Count
    type_width: int = Count
    manufacturer_width: int = Count
    category_width: int = Count
    brand_width: int = Count
    hidden: tuple[int, ...] = Field(min_length=1)
    dropout: float = Field(ge=0, lt=0.5)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "Network":
        if isinstance(self.sequence, TransformerParameters) and self.width % self.sequence.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.sequence.heads}")
        return self


class ExamplesParameters(Strict):
    """Which questions are asked of the past (learning/examples.py)."""

    origins: int = Count
    every_days: int = Count
    horizon_days: int = Count
    similarity_days: int = Count
    live_share: float = Share
    hidden_share: float = Share
    questions_max: int = Count


class Recipe(Strict):
    """How a network is trained (learning/fitting.py). learning_rate: the highest of the schedule."""

    retrieval: RetrievalParameters
    examples: ExamplesParameters
    network: Network
    new_weight: float = Field(ge=0)
    epochs: int = Count
    batch_size: int = Count
    precision: Literal["auto", "float32", "bfloat16"]
    optimiser: Optimiser
    learning_rate: float = Field(gt=0)
    schedule: Schedule
    weight_decay: float = Field(ge=0)
    clip: float = Field(gt=0)
