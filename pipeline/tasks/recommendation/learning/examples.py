"""Training examples: what a customer was about to buy, asked on many days of the past.

On each origin (a day) every customer with a basket in the following days is a question, answered from
what was known on that day alone; the products of his next basket are the relevant candidates. Some
questions are asked once more with a part of that basket as the live one (the rest is the answer), some
with the customer hidden as well, so that the network knows both situations from training.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.tasks.recommendation.data import inputs, item_similarity, state
from pipeline.tasks.recommendation.data.counts import Questions
from pipeline.tasks.recommendation.data.dataset import Catalogue, Purchases, read_catalogue, read_split
from pipeline.tasks.recommendation.data.grouping import distinct, find
from pipeline.tasks.recommendation.data.histories import Histories, build
from pipeline.tasks.recommendation.data.item_similarity import ItemSimilarity
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.state import CATALOGUE, State
from pipeline.tasks.recommendation.recipe_parameters import ExamplesParameters, Recipe

BATCH = 128  # questions computed together
INPUTS = ("products", "bought", "features", "sequence", "ages", "held")
ANSWERS = ("relevant", "wanted", "wanted_new", "customers", "baskets")
LIVE_MAX = 6  # products of a live basket in training


@dataclass(frozen=True)
class Targets:
    """The next basket of each customer who has one: customers int64 (B,); products: B arrays, each
    product once."""

    customers: np.ndarray
    products: list[np.ndarray]


@dataclass(frozen=True)
class Examples:
    """Inputs with their answers. relevant: float32 (B, C), 1 where the candidate is in the next basket;
    wanted: int64 (B,) products of it, found among the candidates or not; wanted_new: those never bought
    before; customers: int64 (B,); baskets: int64 (B,) that the customer had before, 0 also when hidden"""

    inputs: inputs.Inputs
    relevant: np.ndarray
    wanted: np.ndarray
    wanted_new: np.ndarray
    customers: np.ndarray
    baskets: np.ndarray

    def __len__(self) -> int:
        return len(self.wanted)

    def rows(self, chosen: np.ndarray | slice) -> "Examples":
        """The examples at some places."""
        arrays: dict[str, Any] = {name: getattr(self.inputs, name)[chosen] for name in INPUTS}
        answers = [getattr(self, name)[chosen] for name in ANSWERS]
        return Examples(replace(self.inputs, **arrays), *answers)


class Past:
    """The splits up to some moment, and states of any day before it, made one after another."""

    def __init__(
        self, parts: Sequence[Purchases], catalogue: Catalogue, retrieval: Retrieval, similarity_days: int
    ) -> None:
        """similarity_days: for so long an item similarity is used before it is built anew."""
        self.parts, self.catalogue, self.retrieval = parts, catalogue, retrieval
        self.similarity_days = similarity_days
        self.histories: Histories = build(parts, len(catalogue.customer_ids), parts[-1].end_day)
        self._similarity: tuple[int, ItemSimilarity] | None = None
        self._state: State | None = None  # the last one: a day is asked about several times

    def state(self, day: int) -> State:
        """Of what was known on `day`; days must come in rising order for the similarity to be reused."""
        if self._state is not None and self._state.day == day:
            return self._state
        if self._similarity is None or not 0 <= day - self._similarity[0] < self.similarity_days:
            built = item_similarity.build(
                self.parts,
                len(self.catalogue.product_ids),
                len(self.catalogue.customer_ids),
                day,
                self.retrieval.similarity_items,
                self.retrieval.ridge,
            )
            self._similarity = (day, built)
        self._state = state.build(
            self.parts,
            self.catalogue,
            day,
            self.retrieval,
            all_histories=self.histories,
            similarity=self._similarity[1],
        )
        return self._state

    def next_baskets(self, day: int, horizon: int) -> Targets:
        """The first basket of each customer in day <= t < day + horizon."""
        columns = {}
        for name in ("customer", "product", "basket"):
            pieces = [
                getattr(part, name)[slice(*np.searchsorted(part.day, [day, day + horizon]))]
                for part in self.parts
            ]
            columns[name] = np.concatenate(pieces)
        first = np.full(len(self.catalogue.customer_ids), np.iinfo(np.int64).max)
        np.minimum.at(first, columns["customer"], columns["basket"])
        chosen = columns["basket"] == first[columns["customer"]]
        customer, product = columns["customer"][chosen], columns["product"][chosen]
        order = np.argsort(customer, kind="stable")
        customers, begins = np.unique(customer[order], return_index=True)
        return Targets(customers.astype(np.int64), np.split(product[order], begins[1:]))


def at(past: Past, day: int, targets: Targets, live: Sequence[np.ndarray] | None = None) -> Examples:
    """The examples of one origin. live: products of each live basket, taken out of the targets already."""
    current = past.state(day)
    ends = past.histories.ends(day)
    parts = [slice(start, start + BATCH) for start in range(0, len(targets.customers), BATCH)]
    # NumPy and SciPy let go of the interpreter while they compute: threads use the other cores.
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        pieces = threads.map(lambda part: _batch(past, current, ends, day, targets, live, part), parts)
        return _joined(list(pieces))


def hidden(targets: Targets) -> Targets:
    """The same targets of customers who are not known."""
    return Targets(np.full(len(targets.customers), -1), targets.products)


def _batch(
    past: Past,
    current: State,
    ends: np.ndarray,
    day: int,
    targets: Targets,
    live: Sequence[np.ndarray] | None,
    part: slice,
) -> Examples:
    customers, products = targets.customers[part], targets.products[part]
    rows = past.histories.rows(customers, ends)
    held = [np.empty(0, dtype=np.int64)] * len(customers) if live is None else list(live[part])
    questions = Questions(
        day=day,
        customers=customers,
        rows=rows,
        stores=np.full(len(customers), -1),
        basket_question=np.repeat(np.arange(len(customers)), [len(basket) for basket in held]),
        basket_product=np.concatenate(held).astype(np.int64),
    )
    computed = inputs.compute(current, questions, past.retrieval)
    size = current.products
    wanted = np.concatenate(
        [i * size + np.sort(basket.astype(np.int64)) for i, basket in enumerate(products)]
    )
    new = wanted[find(distinct(rows.question * size + rows.product), wanted) < 0]
    keys = np.arange(len(customers))[:, None] * size + computed.products
    relevant = (find(wanted, keys) >= 0) & (computed.products >= 0)
    return Examples(
        inputs=computed,
        relevant=relevant.astype(np.float32),
        wanted=np.array([len(basket) for basket in products]),
        wanted_new=np.bincount(new // size, minlength=len(customers)),
        customers=customers,
        baskets=rows.baskets,
    )


def _joined(pieces: Sequence[Examples]) -> Examples:
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(piece.inputs, name) for piece in pieces]) for name in INPUTS
    }
    answers = [np.concatenate([getattr(piece, name) for piece in pieces]) for name in ANSWERS]
    return Examples(replace(pieces[0].inputs, **arrays), *answers)


def read_past(prepared: Path, recipe: Recipe) -> Past:
    """What may be trained on and chosen by: the training and the validation part."""
    parts = [read_split(prepared / split) for split in ("train", "val")]
    catalogue = read_catalogue(prepared / "train" / CATALOGUE)
    retrieval = Retrieval(**recipe.retrieval.model_dump())
    return Past(parts, catalogue, retrieval, recipe.examples.similarity_days)


def training(past: Past, until: int, asked: ExamplesParameters, seed: int) -> Examples:
    """Examples of many origins before `until`, the last one the horizon before it; fewer origins where the
    data begins later. Of more questions than `asked` allows some are left out, evenly, so that memory stays
    bounded whatever the customers."""
    rng = np.random.default_rng(seed)
    days = [until - asked.horizon_days - asked.every_days * i for i in range(asked.origins)][::-1]
    days = [day for day in days if day > past.parts[0].first_day + asked.horizon_days]
    kept = asked.questions_max / max(1, len(days))
    store = None
    filled = 0
    for day in days:
        for examples in _variants(past, day, asked, kept, rng):
            useful = np.flatnonzero(examples.relevant.any(axis=1))
            if store is None:
                store = _room(examples, asked.questions_max + BATCH * len(days))
            filled = _put(store, examples, useful, filled)
    if store is None:
        raise ValueError("no origin lies late enough for a history before it")
    return store.rows(slice(filled))


def _variants(
    past: Past, day: int, asked: ExamplesParameters, kept: float, rng: np.random.Generator
) -> Iterator[Examples]:
    """The questions of one day, about `kept` of them: plain, with a live basket, with the customer hidden."""
    targets = past.next_baskets(day, asked.horizon_days)
    times = 1 + asked.live_share + asked.hidden_share
    plain = min(1.0, kept / max(1, len(targets.customers)) / times)
    chosen = _drawn(targets, plain, rng)
    if not len(chosen.customers):
        return
    yield at(past, day, chosen)
    for share, anonymous in ((asked.live_share, False), (asked.hidden_share, True)):
        again = _drawn(chosen, share, rng)
        baskets = [basket for basket in again.products if len(basket) > 1]
        if not baskets:
            continue
        customers = np.array(
            [who for who, basket in zip(again.customers, again.products, strict=True) if len(basket) > 1]
        )
        held, rest = zip(*(_halves(basket, rng) for basket in baskets), strict=True)
        remaining = Targets(customers, list(rest))
        yield at(past, day, hidden(remaining) if anonymous else remaining, held)


def some(targets: Targets, wanted: int, rng: np.random.Generator) -> Targets:
    """`wanted` of the targets at most, drawn at random, in their order."""
    size = len(targets.customers)
    kept = np.sort(rng.choice(size, min(wanted, size), replace=False))
    return Targets(targets.customers[kept], [targets.products[i] for i in kept])


def _drawn(targets: Targets, share: float, rng: np.random.Generator) -> Targets:
    kept = np.flatnonzero(rng.random(len(targets.customers)) < share)
    return Targets(targets.customers[kept], [targets.products[i] for i in kept])


def _halves(basket: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A live basket of some of the products, and the others."""
    shuffled = rng.permutation(basket)
    held = int(rng.integers(1, min(len(basket) - 1, LIVE_MAX) + 1))
    return shuffled[:held], shuffled[held:]


def _room(example: Examples, size: int) -> Examples:
    """Empty arrays for `size` questions; pages are taken from memory as they are filled."""

    def empty(values: np.ndarray) -> np.ndarray:
        return np.empty((size, *values.shape[1:]), dtype=values.dtype)

    arrays: dict[str, Any] = {name: empty(getattr(example.inputs, name)) for name in INPUTS}
    answers = [empty(getattr(example, name)) for name in ANSWERS]
    return Examples(replace(example.inputs, **arrays), *answers)


def _put(store: Examples, examples: Examples, rows: np.ndarray, filled: int) -> int:
    rows = rows[: len(store) - filled]
    place = slice(filled, filled + len(rows))
    for name in INPUTS:
        getattr(store.inputs, name)[place] = getattr(examples.inputs, name)[rows]
    for name in ANSWERS:
        getattr(store, name)[place] = getattr(examples, name)[rows]
    return filled + len(rows)
