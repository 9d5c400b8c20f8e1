"""Everything that answers are made from beside the network, as of a day: built from the purchases before it.

A folder of arrays that are memory-mapped when read: histories, what is known of the products, which go
together, customers to compare with, and the catalogue. It is shipped with the model; live events are laid
over it without touching it (recommender.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import model_package
from pipeline.core.artifacts import read_json, write_json
from pipeline.tasks.recommendation.data import histories, item_similarity, item_tables, product_search, tifu
from pipeline.tasks.recommendation.data.best_sellers import BestSellers
from pipeline.tasks.recommendation.data.dataset import (
    Catalogue,
    Purchases,
    read_catalogue,
    read_split,
    write_catalogue,
)
from pipeline.tasks.recommendation.data.histories import Histories
from pipeline.tasks.recommendation.data.item_similarity import ItemSimilarity
from pipeline.tasks.recommendation.data.item_tables import ItemTables
from pipeline.tasks.recommendation.data.product_search import ProductSearch
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.tifu import Neighbours, Pool

FOLDER = "state"
CATALOGUE = "catalogue"
DESCRIPTION = "state.json"
SPLITS = ("train", "val", "test")
PARTS: dict[str, type] = {
    "histories": Histories,
    "items": ItemTables,
    "similarity": ItemSimilarity,
    "pool": Pool,
    "neighbours": Neighbours,
    "search": ProductSearch,
}
MAY_LACK = ("neighbours", "search")


@dataclass(frozen=True)
class State:
    """day: local days since 1970-01-01; what happened on it or later is not in here.

    neighbours, search: None in a state of which too little is asked to look for them beforehand
    """

    day: int
    catalogue: Catalogue
    histories: Histories
    items: ItemTables
    similarity: ItemSimilarity
    pool: Pool
    neighbours: Neighbours | None = None
    search: ProductSearch | None = None

    @property
    def products(self) -> int:
        return len(self.catalogue.product_ids)


def build(
    parts: Sequence[Purchases],
    catalogue: Catalogue,
    day: int,
    retrieval: Retrieval,
    *,
    all_histories: Histories | None = None,
    similarity: ItemSimilarity | None = None,
) -> State:
    """parts: splits in the order of time; only what happened before `day` is used.

    all_histories: of all of `parts`, if they are at hand already: states of many days share them, and
    the questions asked of the state then say where the rows before the day end (Histories.ends)
    similarity: an older one to go on using; it is what costs most to build
    """
    customers, products = len(catalogue.customer_ids), len(catalogue.product_ids)
    known = all_histories or histories.build(parts, customers, day)
    return State(
        day=day,
        catalogue=catalogue,
        histories=known,
        items=item_tables.build(parts, catalogue, day),
        similarity=similarity
        or item_similarity.build(
            parts, products, customers, day, retrieval.similarity_items, retrieval.ridge
        ),
        pool=tifu.pool(known, known.ends(day), products, retrieval.neighbour_pool),
    )


def add_to_package(package: Path, prepared: Path) -> None:
    """The state as of the end of the prepared data, as files of the package `package`."""
    description = model_package.verify(package)
    parts = [read_split(prepared / split) for split in SPLITS]
    catalogue = read_catalogue(prepared / "train" / CATALOGUE)
    retrieval = Retrieval(**description["retrieval"])
    made = build(parts, catalogue, parts[-1].end_day, retrieval)
    neighbours = tifu.neighbours_of_all(made.histories, made.products, made.pool, retrieval.neighbours)
    search = product_search.build(catalogue.names, BestSellers(made.items).share)
    write(replace(made, neighbours=neighbours, search=search), package / FOLDER)
    files = [path for path in (package / FOLDER).rglob("*") if path.is_file()]
    more = [path.relative_to(package).as_posix() for path in files]
    known = [name for name in description["files"] if name not in model_package.REQUIRED]
    kept = {key: value for key, value in description.items() if key not in ("format", "files")}
    model_package.describe(package, kept, [*known, *more])


def write(state: State, folder: Path) -> None:
    folder.mkdir(parents=True)
    write_catalogue(folder / CATALOGUE, state.catalogue)
    for name, kind in PARTS.items():
        if (part := getattr(state, name)) is None:
            continue
        (folder / name).mkdir()
        for field in fields(kind):
            np.save(folder / name / f"{field.name}.npy", getattr(part, field.name))
    write_json(folder / DESCRIPTION, {"day": state.day})


def read(folder: Path) -> State:
    """The state of a folder; its arrays are memory-mapped, read when they are used."""
    parts: dict[str, Any] = {
        name: kind(
            **{
                field.name: np.asarray(np.load(folder / name / f"{field.name}.npy", mmap_mode="r"))
                for field in fields(kind)
            }
        )
        for name, kind in PARTS.items()
        if name not in MAY_LACK or (folder / name).is_dir()
    }
    return State(read_json(folder / DESCRIPTION)["day"], read_catalogue(folder / CATALOGUE), **parts)
