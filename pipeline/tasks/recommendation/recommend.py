"""`fullcycle recommend`: lists for many customers as of a date, with nothing that came later.

Histories, popularity and all other state are counted anew from what was bought before the date; of the
promotions those of the week in which it lies count. The network is the champion, before there is one that
of models/P. It was trained on the days before the test part: asked as of an earlier date, its weights know
what came later, and that is said.
"""

import argparse
import itertools
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from pipeline.core import model_package, registry, tracking
from pipeline.core.artifacts import writing_file
from pipeline.core.errors import DiskFull, ModelError, ParameterError, is_disk_full
from pipeline.core.paths import Paths
from pipeline.tasks.recommendation.data import network, ranking, state
from pipeline.tasks.recommendation.data.asking import MODES, Id
from pipeline.tasks.recommendation.data.best_sellers import BestSellers
from pipeline.tasks.recommendation.data.counts import Questions
from pipeline.tasks.recommendation.data.dataset import Purchases, read_catalogue, read_split
from pipeline.tasks.recommendation.data.ids import Ids
from pipeline.tasks.recommendation.data.network import RankingNetwork
from pipeline.tasks.recommendation.data.ranking import List, Wish
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.state import State

EPOCH = date(1970, 1, 1)
K, K_MAX = 20, 1000
PART = 64  # customers computed together


@dataclass(frozen=True)
class Asked:
    """ids: of each customer; places: int64, in the catalogue, -1 where he is unknown."""

    ids: list[Id]
    places: np.ndarray


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--as-of", type=_date, required=True, metavar="YYYY-MM-DD",
                        help="nothing that happened on this day or later is used")  # fmt: skip
    parser.add_argument("--k", type=int, default=K, help=f"products a customer ({K})")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE",
                        help="Parquet: customer_id, rank (from 1), product_id, score")  # fmt: skip
    parser.add_argument("--customers", type=Path, metavar="FILE",
                        help="Parquet, CSV or an id a line (all who bought before)")  # fmt: skip
    parser.add_argument("--mode", choices=MODES, default="mixed", help="which products (mixed)")


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date like 2017-11-27") from None


def run(arguments: argparse.Namespace, paths: Paths) -> list[str]:
    """Writes the lists; returns what was done, in lines for the person who asked."""
    if not 1 <= arguments.k <= K_MAX:
        raise ParameterError(f"--k must be from 1 to {K_MAX}, given {arguments.k}.")
    _refuse_unwritable(arguments.out)
    parts = _read(paths)
    day = _day(arguments.as_of, parts)
    wanted = None if arguments.customers is None else read_ids(arguments.customers)
    with tempfile.TemporaryDirectory(prefix="fullcycle-recommend-") as folder:
        package, version = _package(paths, Path(folder))
        built, ranker, retrieval = _load(package, paths, parts, day)
    if not len(built.histories.product):
        raise ParameterError(f"--as-of {arguments.as_of}: nobody has bought anything before that day.")
    asked = _asked(built, wanted)
    lists = _lists(built, ranker, retrieval, asked, arguments)
    rows = _write(arguments.out, built, asked, list(lists))
    unknown = int((asked.places < 0).sum())
    said = [
        f"{rows:,} rows for {len(asked.ids):,} customers as of {arguments.as_of} in {arguments.out}",
        f"the network is {version}",
    ]
    if unknown:
        said.append(f"{unknown:,} of the customers are unknown: they get what sold best")
    if day < parts[-1].first_day:
        honest = EPOCH + timedelta(days=parts[-1].first_day)
        said.append(f"this network was trained with what happened until {honest}: only as of that day or "
                    "later do the lists show how good it is")  # fmt: skip
    return said


def _refuse_unwritable(out: Path) -> None:
    """Before anything is computed."""
    if out.is_dir():
        raise ParameterError(f"--out {out} is a folder; it must be a file to write.")
    if out.suffix != ".parquet":
        raise ParameterError(f"--out {out}: lists are written as Parquet; its name must end in .parquet.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise ParameterError(f"--out {out} cannot be written: {error.strerror}.") from error


def read_ids(path: Path) -> list[str]:
    """Ids of the column `customer_id` or `customer`, or of the only column; each once, in order."""
    if not path.is_file():
        raise ParameterError(f"--customers {path}: there is no such file.")
    from pipeline.tasks.recommendation.id_files import read

    found = list(dict.fromkeys(read(path)))
    if not found:
        raise ParameterError(f"--customers {path}: no customer is in it.")
    return found


def _read(paths: Paths) -> list[Purchases]:
    folders = [paths.prepared / split for split in state.SPLITS]
    if not all((folder / "period.json").is_file() for folder in folders):
        raise ParameterError(
            f"{paths.prepared} has no prepared data. Run `dvc repro prepare@{paths.project}` first."
        )
    return [read_split(folder) for folder in folders]


def _day(as_of: date, parts: Sequence[Purchases]) -> int:
    day = (as_of - EPOCH).days
    first, last = parts[0].first_day + 1, parts[-1].end_day
    if not first <= day <= last:
        between = f"{EPOCH + timedelta(days=first)} to {EPOCH + timedelta(days=last)}"
        raise ParameterError(f"--as-of {as_of} is outside the data: it allows {between}.")
    return day


def _package(paths: Paths, folder: Path) -> tuple[Path, str]:
    """The champion's model package, else the one trained last; and how to call it."""
    uri = tracking.tracking_uri(paths)
    local = uri.removeprefix("sqlite:///")
    there = local == uri or Path(local).is_file()  # a store that is not there is not to be made by asking
    version = registry.champion(paths) if there else None
    if version is not None:
        return registry.download(
            paths, version, folder / "package"
        ), f"the champion, version {version.version}"
    if not (paths.model / model_package.DESCRIPTION).is_file():
        raise ModelError(
            f"{paths.project} has neither a champion nor a trained model. "
            f"Run `dvc repro train@{paths.project}` first."
        )
    return paths.model, f"that of {paths.model.relative_to(paths.root)}; no champion is registered"


def _load(
    package: Path, paths: Paths, parts: Sequence[Purchases], day: int
) -> tuple[State, RankingNetwork, Retrieval]:
    description = model_package.verify(package)
    retrieval = Retrieval(**description["retrieval"])
    catalogue = read_catalogue(paths.prepared / "train" / state.CATALOGUE)
    ranker = network.load(package, catalogue, threads=1)
    built = state.build(parts, catalogue, day, retrieval)
    ranking.refuse_other_features(ranking.feature_names(built, retrieval), description["features"])
    return built, ranker, retrieval


def _asked(built: State, wanted: Sequence[str] | None) -> Asked:
    customers = Ids(built.catalogue.customer_ids)
    if wanted is None:
        places = np.flatnonzero(np.diff(built.histories.start))
        return Asked([customers.values[place] for place in places], places)
    places = np.array([customers.place(id_) for id_ in wanted], dtype=np.int64)
    known = [
        customers.values[place] if place >= 0 else id_ for id_, place in zip(wanted, places, strict=True)
    ]
    return Asked(known, places)


def _lists(
    built: State, ranker: RankingNetwork, retrieval: Retrieval, asked: Asked, arguments: argparse.Namespace
) -> Iterator[List]:
    """One list a customer, in their order."""
    sellers = BestSellers(built.items)
    wish = Wish(arguments.k, arguments.mode, np.empty(0, dtype=np.int64))
    nothing_known = ranking.popular(sellers, -1, wish)
    bought = np.diff(built.histories.start)[np.maximum(asked.places, 0)] > 0
    known = asked.places[bought & (asked.places >= 0)]

    def computed(start: int) -> list[List]:
        customers = known[start : start + PART]
        questions = Questions(
            day=built.day,
            customers=customers,
            rows=built.histories.rows(customers),
            stores=np.full(len(customers), -1),
            basket_question=np.empty(0, dtype=np.int64),
            basket_product=np.empty(0, dtype=np.int64),
        )
        return ranking.ranked(built, ranker, retrieval, sellers, questions, [wish] * len(customers))[0]

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        found = itertools.chain.from_iterable(threads.map(computed, range(0, len(known), PART)))
        for place, has_history in zip(asked.places.tolist(), bought.tolist(), strict=True):
            yield next(found) if place >= 0 and has_history else nothing_known


def _write(out: Path, built: State, asked: Asked, lists: Sequence[List]) -> int:
    """Returns the number of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lengths = np.array([len(listed.products) for listed in lists], dtype=np.int64)
    products = np.concatenate([listed.products for listed in lists])
    customers = np.repeat(_id_array(asked.ids, built.catalogue.customer_ids.dtype), lengths)
    ranks = np.concatenate([np.arange(1, length + 1) for length in lengths])
    table = pa.table(
        {
            "customer_id": pa.array(customers),
            "rank": pa.array(ranks.astype(np.int32)),
            "product_id": pa.array(built.catalogue.product_ids[products]),
            "score": pa.array(np.concatenate([listed.scores for listed in lists])),
        }
    )
    try:
        with writing_file(out) as partial:
            pq.write_table(table, partial)
    except OSError as error:
        if is_disk_full(error):
            raise DiskFull(f"No space left on the disk for {out}. Free some, run again.") from error
        raise ParameterError(f"--out {out} cannot be written: {error}.") from error
    return int(table.num_rows)


def _id_array(ids: Sequence[Id], dtype: np.dtype) -> np.ndarray:
    """Of the data's type, unless somebody was asked for whose id cannot be of it."""
    try:
        return np.array([int(id_) for id_ in ids]) if dtype.kind == "i" else np.array(ids, dtype=str)
    except ValueError:
        return np.array([str(id_) for id_ in ids])
