"""How often the promotion test is wrong: pairs of models of which the truth is known.

    python -m benchmarks.promotion [--pairs N] [--json FILE]

Draws pairs of models with a true difference, lets pipeline/champion/promotion.py decide about each with the
margins of the shipped projects (params.yaml), and counts. Sizes are those of the shipped projects. How far
two models agree is assumed: of 10,000 images 99.5 % are right, 60 % of the errors are shared by both models;
2,008 customers have a recall around 0.22, which differs between the models with a standard deviation of
0.05 (about that of network and LightGBM in benchmarks/rankers.py, by its intervals), half of them the same.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from pipeline.champion import promotion
from pipeline.core import parameters
from pipeline.core.parameters import Register
from pipeline.core.statistics import wilson_interval

PAIRS = 200
Truth = Callable[[np.random.Generator, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Project:
    """slices: name -> share of the items; draw(rng, loss): scores of a new model and of the champion, float64
    (N,), where the new one is worse by loss (N,) in expectation"""

    name: str
    limits: Register
    items: int
    slices: Mapping[str, float]
    draw: Truth


def images(rng: np.random.Generator, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Right or wrong. Each model is wrong about 0.5 %; of that 0.3 points are images that both miss."""
    both, alone = 0.003, 0.002
    lost, won = alone + np.maximum(loss, 0), alone + np.maximum(-loss, 0)
    place = rng.random(len(loss))
    new_wrong = place < both + lost
    old_wrong = (place < both) | ((place >= both + lost) & (place < both + lost + won))
    return 1.0 - new_wrong, 1.0 - old_wrong


def customers(rng: np.random.Generator, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recalls. Half of the customers have the same lists; over all, differences deviate by 0.05."""
    old = rng.beta(1.0, 3.5, len(loss))
    moved = rng.random(len(loss)) < 0.5
    return old + moved * rng.normal(-2 * loss, 0.05 * 2**0.5), old


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"pairs of models for each row ({PAIRS})")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    tables = {project.name: table(project, arguments.pairs) for project in shipped()}
    print(machine())
    for project in shipped():
        show(project, tables[project.name])
    if arguments.json:
        figures = {"machine": machine(), "pairs": arguments.pairs, "projects": tables}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def shipped() -> list[Project]:
    root = Path("params.yaml")
    limits = {name: parameters.load(root, name).section("register") for name in ("digits", "retail")}
    classes = {f"class {k}": 0.1 for k in range(10)}
    # As 2,008 households of the unseen weeks fall into them.
    history = {"1 to 4 baskets": 0.02, "5 to 19": 0.11, "20 to 59": 0.33, "60 and more": 0.54}
    return [
        Project("digits", limits["digits"], 10_000, classes, images),
        Project("retail", limits["retail"], 2_008, history, customers),
    ]


def table(project: Project, pairs: int) -> list[dict[str, Any]]:
    """One row a truth: what was decided about so many pairs, in shares of them."""
    margin, of_slice = project.limits.margin, project.limits.slice_margin
    judged = [
        n for n, share in project.slices.items() if share * project.items >= project.limits.slice_items_min
    ]
    everywhere = {
        "better by the margin": -margin,
        "equally good": 0.0,
        "worse by half the margin": margin / 2,
        "worse by the margin": margin,
        "worse by twice the margin": 2 * margin,
    }
    rows = [counted(project, pairs, truth, "", loss) for truth, loss in everywhere.items()]
    for times in (1, 2, 4):
        truth = f"worse by {times} slice margins in {judged[0]} alone"
        rows.append(counted(project, pairs, truth, judged[0], times * of_slice))
    return rows


def counted(project: Project, pairs: int, truth: str, slice_name: str, loss: float) -> dict[str, Any]:
    """slice_name: where alone the loss is; "" for everywhere"""
    rng = np.random.default_rng(0)
    decisions, seconds = [], 0.0
    for _ in range(pairs):
        place = rng.choice(len(project.slices), project.items, p=list(project.slices.values()))
        slices = {name: place == k for k, name in enumerate(project.slices)}
        where = slices[slice_name] if slice_name else np.ones(project.items, dtype=bool)
        new, old = project.draw(rng, loss * where)
        began = time.perf_counter()
        decisions.append(promotion.decide(new, old, slices, project.limits, "1"))
        seconds += time.perf_counter() - began
    outcomes = [decision.outcome for decision in decisions]
    found = [{one.name for one in decision.slices if one.verdict == "worse"} for decision in decisions]
    counts = {
        "better": outcomes.count("better"),
        "not_worse": outcomes.count("not worse"),
        "refused": outcomes.count("refused"),
        "refused_by_a_slice": sum(bool(names) for names in found),
        "slice_found": sum(slice_name in names for names in found),
    }
    shares = {name: count / pairs for name, count in counts.items()}
    intervals = {f"{name}_interval": wilson_interval(count, pairs) for name, count in counts.items()}
    return {"truth": truth, "pairs": pairs, **shares, **intervals, "milliseconds": 1000 * seconds / pairs}


def show(project: Project, rows: list[dict[str, Any]]) -> None:
    limits = project.limits
    print(
        f"\n{project.name}: {project.items:,} items, margin {limits.margin:g}, "
        f"in a slice {limits.slice_margin:g}; {rows[0]['milliseconds']:.0f} ms a decision"
    )
    print(
        f"{'true state of the new model':52} {'better':>7} {'not worse':>10} {'refused':>8} "
        f"{'by a slice':>11}"
    )
    for row in rows:
        print(
            f"{row['truth']:52} {row['better']:7.1%} {row['not_worse']:10.1%} {row['refused']:8.1%} "
            f"{row['refused_by_a_slice']:11.1%}"
        )


if __name__ == "__main__":
    main()
