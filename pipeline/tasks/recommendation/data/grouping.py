"""Sums over groups of rows, and look-ups in them, without a loop over the groups.

A group is named by one integer key; two parts of a name (a question and a product) make one as
`question * size + product`.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Groups:
    """keys: int64 (G,), rising, each once; order: rows sorted by key, equal keys in the order given;
    first, last: places in `order` of each group's first and last row; empty where there are no rows."""

    keys: np.ndarray
    order: np.ndarray
    first: np.ndarray
    last: np.ndarray

    @cached_property
    def sizes(self) -> np.ndarray:
        """int64 (G,): how many rows there are of each group."""
        return self.last - self.first + 1

    @cached_property
    def of_row(self) -> np.ndarray:
        """int64 (N,): the group of each row."""
        found = np.empty(len(self.order), dtype=np.int64)
        found[self.order] = np.arange(len(self.keys)).repeat(self.sizes)
        return found

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums of each group, (G,) or (G, n), of `values` (N,) or (N, n); counted in double precision,
        in the order of the rows, which is several times faster than `add.reduceat`."""
        groups = len(self.keys)
        if values.ndim == 1:
            return np.bincount(self.of_row, values, groups).astype(values.dtype)
        # Columns lie one after another: each is read and written alone, here and by whoever asks.
        found = np.empty((values.shape[1], groups), dtype=values.dtype)
        for column, into in zip(values.T, found, strict=True):
            into[:] = np.bincount(self.of_row, column, groups)
        return found.T

    def least(self, values: np.ndarray) -> np.ndarray:
        return np.minimum.reduceat(values[self.order], self.first) if len(self.first) else values[:0]

    def of_first(self, values: np.ndarray) -> np.ndarray:
        return values[self.order[self.first]]

    def of_last(self, values: np.ndarray) -> np.ndarray:
        return values[self.order[self.last]]

    def find(self, wanted: np.ndarray) -> np.ndarray:
        """The place in `keys` of each wanted key, -1 where there is none."""
        return find(self.keys, wanted)


def group(keys: np.ndarray) -> Groups:
    """keys: int64 (N,), >= 0, in any order."""
    ordered, order = _sorted(keys)
    first = begins(ordered)
    last = np.empty_like(first)
    np.subtract(first[1:], 1, out=last[:-1])
    last[-1:] = len(keys) - 1
    return Groups(ordered[first], order, first, last)


def distinct(keys: np.ndarray) -> np.ndarray:
    """keys in rising order, each once; where most differ, several times faster than np.unique."""
    ordered = np.sort(keys, axis=None)
    return ordered[begins(ordered)]


def begins(values: np.ndarray) -> np.ndarray:
    """int64: where each run of equal values begins."""
    changes = np.empty(len(values), dtype=bool)
    changes[:1] = True
    np.not_equal(values[1:], values[:-1], out=changes[1:])
    return changes.nonzero()[0]


def _sorted(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """keys in rising order, and the stable order that sorts them.

    Each key and its place are packed into one number: sorting numbers is several times faster than
    a stable argsort.
    """
    bits = np.int64(max(1, len(keys).bit_length()))
    if len(keys) and int(keys.max()) >> int(63 - bits):
        order = np.argsort(keys, kind="stable")
        return keys[order], order
    packed = (keys.astype(np.int64) << bits) | np.arange(len(keys), dtype=np.int64)
    packed.sort()
    return packed >> bits, packed & ((np.int64(1) << bits) - 1)


def find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The place in the rising `keys` of each wanted key, -1 where there is none."""
    if not len(keys):
        return np.full(wanted.shape, -1)
    places = keys.searchsorted(wanted)
    return np.where(keys.take(places, mode="clip") == wanted, places, -1)


def taken(values: np.ndarray, places: np.ndarray, otherwise: float | np.ndarray) -> np.ndarray:
    """float32: values[places], and `otherwise` where the place is -1, which is the end of an array."""
    extended = np.empty((len(values) + 1, *values.shape[1:]), dtype=np.float32)
    extended[:-1], extended[-1] = values, otherwise
    return extended[places]


def slices(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of many slices one after another, and which slice each is of; int64 (N,) both."""
    lengths = end - start
    which = np.arange(len(lengths)).repeat(lengths)
    offsets = lengths.cumsum() - lengths
    return np.arange(len(which)) - (offsets - start).repeat(lengths), which


def rank_in_group(which: np.ndarray, score: np.ndarray) -> np.ndarray:
    """The place of each row among those of its group, best score first, from 0.

    which: int64 (N,) group of each row; equal scores keep their order
    """
    ranks = np.empty(len(which), dtype=np.int64)
    if (which == which[:1]).all():  # one group needs no second key
        ranks[(-score).argsort(kind="stable")] = np.arange(len(which))
        return ranks
    order = np.lexsort((-score, which))
    ranks[order] = within(which[order])
    return ranks


def within(values: np.ndarray) -> np.ndarray:
    """int64 (N,): the place of each value in its run of equal ones, from 0."""
    places = np.arange(len(values))
    first = np.zeros_like(places)  # where the run of each value begins
    np.multiply(places[1:], values[1:] != values[:-1], out=first[1:])
    np.maximum.accumulate(first, out=first)
    return places - first
