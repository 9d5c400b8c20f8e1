"""`fullcycle transfer P --from Q`: does a trained model help where there is little data of one's own?

The network of P is trained on few of its training items, begun with the weights of a registered model and,
on the same items with the same seed and the same number of steps, from scratch. Both are judged on P's
validation items; the test part is not read. Nothing of P's own model changes.

Writes reports/P/transfer/
    transfer.json   what was compared with what, and every figure
    transfer.csv    one row a size
    transfer.png    both ways with their intervals
"""

import argparse
import csv
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline import tasks
from pipeline.core import parameters, pictures
from pipeline.core.artifacts import write_json, writing_folder
from pipeline.core.errors import ParameterError
from pipeline.core.parameters import Start
from pipeline.core.paths import Paths
from pipeline.core.statistics import crossed_mean
from pipeline.training import starting
from pipeline.training.starting import Beginning

SCRATCH, STARTED = "from_scratch", "begun_with"


class Trials(Protocol):
    """What a task's `transfer.py` gives: trainings on some of the items of one project.

    items: how many training items there are; unit: what one is; score: what the scores are
    """

    @property
    def items(self) -> int: ...

    @property
    def unit(self) -> str: ...

    @property
    def score(self) -> str: ...

    def scores(self, recipe: Any, beginning: Beginning | None, size: int, seed: int) -> np.ndarray:
        """Of a network trained on `size` items, which `seed` draws: float (N,), for each validation item.

        beginning: None trains from scratch; else as `recipe.start` says
        """


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("project", help="the project with little data")
    parser.add_argument(
        "--from", dest="source", required=True, metavar="MODEL",
        help="a registered model: NAME (its champion) or NAME/VERSION",
    )  # fmt: skip
    parser.add_argument(
        "--sizes", type=int, nargs="+", help="training items of each comparison (all of them)"
    )
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each size and way (5)")
    parser.add_argument("--epochs", type=int, help="passes over the items, both ways (as in params.yaml)")
    parser.add_argument(
        "--learning-rate-factor", type=float, default=1.0, help="of the rate, for what is begun with (1)"
    )
    parser.add_argument("--freeze", nargs="*", default=[], help="parts of the network that stay as they are")
    parser.add_argument("--draws", type=int, default=2000, help="bootstrap draws for the intervals (2000)")
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(arguments: argparse.Namespace) -> None:
    """Compares, writes the report and prints it."""
    paths = Paths(root=Path.cwd(), project=arguments.project)
    project = parameters.load(paths.root / "params.yaml", paths.project)
    recipe = _recipe(project.section("train"), arguments)
    if not (paths.prepared / "train").is_dir():
        raise ParameterError(f"{paths.prepared} is not there. Run `dvc repro prepare@{paths.project}` first.")
    version = starting.version(paths, recipe.start)
    assert version is not None
    trials = tasks.module(project.task, "transfer").trials(project, paths.prepared)
    with tempfile.TemporaryDirectory() as folder:
        beginning = starting.fetch(paths, version, project.task, Path(folder) / "start")
        sizes = _sizes(arguments.sizes, trials)
        found = compare(trials, recipe, beginning, sizes, arguments.seeds, arguments.draws)
        found = {"project": paths.project, "begun_with": beginning.as_json(), **found}
    with writing_folder(paths.reports / "transfer") as folder_written:
        write_json(folder_written / "transfer.json", found)
        _write_table(found["sizes"], folder_written / "transfer.csv")
        _draw(found, folder_written / "transfer.png")
    print(json.dumps(found, indent=2) if arguments.json else "\n".join(_lines(found, beginning, paths)))


def compare(
    trials: Trials, recipe: Any, beginning: Beginning, sizes: Sequence[int], seeds: int, draws: int
) -> dict[str, Any]:
    """Both ways for each size and seed; intervals at 95 % over seeds and validation items together.

    recipe: of the task's `train`, whose `start` says how it is begun
    """
    rows = []
    for size in sizes:
        both: dict[str, list[np.ndarray]] = {SCRATCH: [], STARTED: []}
        for seed in range(seeds):
            both[SCRATCH].append(trials.scores(recipe, None, size, seed))
            both[STARTED].append(trials.scores(recipe, beginning, size, seed))
        table = {name: np.stack(of_seeds).astype(np.float64) for name, of_seeds in both.items()}
        table["gain"] = table[STARTED] - table[SCRATCH]
        row: dict[str, Any] = {"items": size}
        for name, values in table.items():
            mean, interval = crossed_mean(values, draws=draws, seed=size)
            row |= {name: mean, f"{name}_interval": list(interval)}
            row[f"{name}_of_seeds"] = values.mean(axis=1).tolist()
        rows.append(row)
    return {
        "unit": trials.unit,
        "score": trials.score,
        "validation_items": table["gain"].shape[1],
        "seeds": seeds,
        "epochs": recipe.epochs,
        "learning_rate_factor": recipe.start.learning_rate_factor,
        "freeze": list(recipe.start.freeze),
        "sizes": rows,
    }


def _recipe(recipe: Any, arguments: argparse.Namespace) -> Any:
    """The project's recipe, begun as the command line says; its values are checked as the file's are."""
    start = {
        "from": arguments.source,
        "freeze": arguments.freeze,
        "learning_rate_factor": arguments.learning_rate_factor,
        "margin": 0,  # nothing is gated here
        "draws": arguments.draws,
    }
    epochs = arguments.epochs if arguments.epochs is not None else recipe.epochs
    if arguments.seeds < 2 or epochs < 1:
        raise ParameterError(f"--seeds {arguments.seeds}, --epochs {epochs}: at least 2 seeds and 1 epoch.")
    return recipe.model_copy(
        update={"start": parameters.checked(Start, start, "fullcycle transfer"), "epochs": epochs}
    )


def _sizes(wanted: Sequence[int] | None, trials: Trials) -> list[int]:
    sizes = sorted(set(wanted or [trials.items]))
    if sizes[0] < 2 or sizes[-1] > trials.items:
        raise ParameterError(
            f"--sizes {' '.join(map(str, sizes))}: there are {trials.items:,} {trials.unit}; "
            "each size must lie between 2 and that."
        )
    return sizes


def _write_table(rows: Sequence[dict[str, Any]], path: Path) -> None:
    names = [SCRATCH, STARTED, "gain"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["items", *(f"{name}{end}" for name in names for end in ("", "_low", "_high"))])
        for row in rows:
            figures = [value for name in names for value in (row[name], *row[f"{name}_interval"])]
            writer.writerow([row["items"], *(f"{value:.6f}" for value in figures)])


def _draw(found: dict[str, Any], path: Path) -> None:
    fig = pictures.figure(7, 4.2)
    ax = fig.subplots()
    sizes = [row["items"] for row in found["sizes"]]
    begun = f"begun with {found['begun_with']['model']} version {found['begun_with']['version']}"
    for name, label, colour in ((SCRATCH, "from scratch", "black"), (STARTED, begun, pictures.ACCENT)):
        means = np.array([row[name] for row in found["sizes"]])
        bounds = np.array([row[f"{name}_interval"] for row in found["sizes"]]).T
        # A percentile interval of few seeds may end at the mean; rounding must not put it beyond.
        spread = np.maximum([means - bounds[0], bounds[1] - means], 0)
        ax.errorbar(sizes, means, spread, marker="o", ms=4, capsize=3, color=colour, label=label)
    ax.set(xscale="log", xlabel=found["unit"], ylabel=found["score"])
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.minorticks_off()
    ax.legend(fontsize=8)
    ax.grid(alpha=0.3)
    fig.savefig(path)


def _lines(found: dict[str, Any], beginning: Beginning, paths: Paths) -> list[str]:
    lines = [
        f"{paths.project}: {found['score']} of {found['validation_items']:,} items, {found['seeds']} seeds, "
        f"{found['epochs']} epochs; begun with {beginning.name}, or from scratch:",
        f"  {found['unit']:>18}  from scratch  begun with  gain [95 % interval]",
    ]
    for row in found["sizes"]:
        low, high = row["gain_interval"]
        lines.append(
            f"  {row['items']:>18,}  {row[SCRATCH]:>12.4f}  {row[STARTED]:>10.4f}  "
            f"{row['gain']:+.4f} [{low:+.4f}, {high:+.4f}]"
        )
    return [*lines, f"  {paths.reports.relative_to(paths.root) / 'transfer'}/ has the table and the picture"]
