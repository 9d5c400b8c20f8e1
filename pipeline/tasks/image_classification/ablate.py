"""`fullcycle ablate`: what each advance that made deep networks trainable brings on a project's own images.

Trains the recipe of `ablate` in params.yaml and, with one thing changed at a time, every row of its table,
each with several seeds; measures the gradient of every layer. Learns from data/P/prepared/train and judges
by data/P/prepared/val; the test part is not read. No stage depends on it.

Writes reports/P/ablation/: ablation.md (to be read), ablation.csv and ablation.json (every figure, gradients
too), accuracy.png, gradients.png; and a run in MLflow.
"""

import argparse
import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core import pictures
from pipeline.core.artifacts import write_json, writing_folder
from pipeline.core.errors import ParameterError, SourceError
from pipeline.core.parameters import load
from pipeline.core.paths import Paths
from pipeline.core.tracking import StageRun
from pipeline.tasks.image_classification.data.dataset import Split, read_split
from pipeline.tasks.image_classification.parameters import BASE, Ablate, Collect

if TYPE_CHECKING:
    from pipeline.tasks.image_classification.learning.ablation import Row

VERB = "ablate"
REPORT = "ablation.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing beside the project: what is trained stands in params.yaml."""


def run(arguments: argparse.Namespace, paths: Paths) -> Iterator[str]:
    """The lines to print."""
    from pipeline.tasks.image_classification.learning import ablation

    began = time.time()
    parameters = load(paths.root / "params.yaml", paths.project)
    params: Ablate = parameters.section(VERB)
    collect: Collect = parameters.section("collect")
    train, val = _images(paths, params)
    rows = ablation.train_all(params.rows(), params.seeds, collect, train, val)
    table = ablation.table(rows)
    target = paths.reports / "ablation"
    with writing_folder(target) as folder:
        _write(folder, rows, table, params, len(val[1]))
    _track(paths, began, params, table, target)
    yield from _printed(table)
    seconds, report = time.time() - began, (target / REPORT).relative_to(paths.root)
    yield f"{len(rows) * len(params.seeds)} trainings in {seconds:.0f} s; {report}"


def _images(paths: Paths, params: Ablate) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """The images to learn from, as many as params says, and those to judge by: pixels, labels."""
    try:
        train, val = (read_split(paths.prepared / name) for name in ("train", "val"))
    except FileNotFoundError as error:
        raise SourceError(
            f"{error.filename} is not there. Run `dvc repro prepare@{paths.project}` first."
        ) from None
    if params.images > len(train):
        raise ParameterError(
            f"params.yaml: projects.{paths.project}.ablate.images: {params.images} is more than the "
            f"{len(train)} training images that there are."
        )
    rows = np.random.default_rng(params.seeds[0]).choice(len(train), params.images, replace=False)
    return _taken(train, np.sort(rows)), _taken(val, np.arange(len(val)))


def _taken(split: Split, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return split.pixels[rows], split.labels[rows]


def _write(
    folder: Path, rows: "dict[str, Row]", table: list[dict[str, Any]], params: Ablate, val_images: int
) -> None:
    from pipeline.tasks.image_classification.learning import ablation

    write_json(folder / "ablation.json", {
        "images": params.images,
        "val_images": val_images,
        "seeds": list(params.seeds),
        "rows": table,
        "accuracies": {name: list(row.accuracies) for name, row in rows.items()},
        "gradient_norms": ablation.gradients(rows),
    })  # fmt: skip
    with (folder / "ablation.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    intervals = {name: row.accuracy for name, row in rows.items()}
    pictures.intervals(intervals, "validation accuracy", folder / "accuracy.png")
    lines = {}
    for name in params.drawn:
        before, *_, after = rows[name].norms
        lines[name] = before, after
    pictures.gradient_norms(lines, folder / "gradients.png")
    (folder / REPORT).write_text(_markdown(table, params, val_images))


def _markdown(table: list[dict[str, Any]], params: Ablate, val_images: int) -> str:
    lines = [
        "# What each advance brings",
        "",
        f"Every row was trained on the same {params.images:,} images, once with each of {len(params.seeds)} "
        f"seeds, and judged by {val_images:,} validation images. `{BASE}` is the recipe of `ablate` in "
        "params.yaml; every other row says what it changes in it. Intervals (95 %) are over the seeds; the "
        "gain in points is to the base, seed by seed. Gradients are norms before training, the median of "
        "the seeds.",
        "",
        "| row | changed | accuracy | gain over the base | first layer's gradient | last layer's | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table:
        accuracy = f"{row['accuracy']:.2%} [{row['accuracy_low']:.2%}, {row['accuracy_high']:.2%}]"
        gain = f"{100 * row['gain']:+.2f} [{100 * row['gain_low']:+.2f}, {100 * row['gain_high']:+.2f}]"
        norms = [_short(row[key]) for key in ("first_gradient", "last_gradient", "first_over_last")]
        gain = "" if row["name"] == BASE else gain
        lines.append(f"| {' | '.join([row['name'], row['changed'], accuracy, gain, *norms])} |")
    lines += ["", "![accuracy of each row](accuracy.png)", "", "![gradients by layer](gradients.png)", ""]
    return "\n".join(lines)


def _printed(table: list[dict[str, Any]]) -> Iterator[str]:
    width = max(len(row["name"]) for row in table)
    yield f"{'':{width}}  accuracy  95 % over seeds      gain  95 % over seeds   first / last gradient"
    for row in table:
        accuracy = f"{row['accuracy']:8.2%}  [{row['accuracy_low']:7.2%}, {row['accuracy_high']:7.2%}]"
        gain = f"{100 * row['gain']:+7.2f}  [{100 * row['gain_low']:+7.2f}, {100 * row['gain_high']:+7.2f}]"
        if row["name"] == BASE:
            gain = " " * len(gain)
        yield f"{row['name']:{width}}  {accuracy}  {gain}  {_short(row['first_over_last'])}"


def _short(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.2g}"


def _track(paths: Paths, began: float, params: Ablate, table: list[dict[str, Any]], folder: Path) -> None:
    """One run of the experiment beside those of the stages, with the figures of every row and the files."""
    stage_run = StageRun(paths, VERB, began)
    stage_run.log_params(params.model_dump(mode="json"))
    for row in table:
        figures = {key: row[key] for key in ("accuracy", "gain", "first_over_last") if row[key] is not None}
        stage_run.log_metrics({f"{row['name']}.{key}": value for key, value in figures.items()})
    for file in sorted(folder.iterdir()):
        stage_run.log_artifact(file)
    stage_run.close("FINISHED", close_parent=True)
