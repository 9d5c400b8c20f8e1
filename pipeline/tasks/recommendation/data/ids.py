"""Finding customers, products and stores by their ids."""

from collections.abc import Iterable

import numpy as np

from pipeline.tasks.recommendation.data.asking import Id


class Ids:
    """values: the ids as the data has them, int or str, in the order of their places in the catalogue."""

    def __init__(self, ids: np.ndarray) -> None:
        self.values: list[Id] = ids.tolist()
        self._places = {str(id_): place for place, id_ in enumerate(self.values)}

    def place(self, id_: Id) -> int:
        """-1 where nobody knows it."""
        return self._places.get(str(id_), -1)

    def places(self, ids: Iterable[Id]) -> tuple[list[int], list[Id]]:
        """(places of the known ones, each once; the unknown ones), both in the order given."""
        found = {id_: self.place(id_) for id_ in ids}
        known = dict.fromkeys(place for place in found.values() if place >= 0)
        return list(known), [id_ for id_, place in found.items() if place < 0]
