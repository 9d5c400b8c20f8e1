"""An unseen week that is asked about again and again: its state is at hand, so that asking costs little."""

from dataclasses import dataclass

import numpy as np

from pipeline.tasks.recommendation.data.counts import Questions
from pipeline.tasks.recommendation.data.network import RankingNetwork
from pipeline.tasks.recommendation.data.state import State
from pipeline.tasks.recommendation.learning import examples
from pipeline.tasks.recommendation.learning.examples import Past, Targets

NOTHING = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Week:
    """targets: the next baskets, as from `past.next_baskets` on `day`"""

    past: Past
    ranker: RankingNetwork
    day: int
    targets: Targets
    seed: int

    @property
    def state(self) -> State:
        return self.past.state(self.day)

    def some(self, customers: int) -> Targets:
        """Those of so many customers at most, drawn at random, always the same."""
        return examples.some(self.targets, customers, np.random.default_rng(self.seed))

    def questions(self, customers: np.ndarray) -> Questions:
        """Without live baskets. customers: int64 (B,)"""
        rows = self.past.histories.rows(customers, self.past.histories.ends(self.day))
        return Questions(self.day, customers, rows, np.full(len(customers), -1), NOTHING, NOTHING)
