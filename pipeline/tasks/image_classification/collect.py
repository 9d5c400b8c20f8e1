"""Collecting images: every source read into one table and one array."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline import sources
from pipeline.core.artifacts import write_json
from pipeline.core.errors import SourceError
from pipeline.core.findings import Findings
from pipeline.core.gates import Gate
from pipeline.core.paths import Paths
from pipeline.tasks.image_classification.data import formats, items
from pipeline.tasks.image_classification.parameters import Charter, Collect


def collect(params: Any, paths: Paths, folder: Path) -> Findings:
    """Writes images.npy, items.parquet (data/items.py), provenance.json."""
    plan: Charter = params.plan
    collect: Collect = params.collect
    tables, pixels, provenance = [], [], []
    for source in collect.sources:
        path = sources.fetch(source, paths)
        parts = formats.read(path, source)
        for part in parts:
            _check(part, source.name, collect)
            tables.append(items.table(source.name, part.part, part.pixels, part.labels))
            pixels.append(part.pixels)
        provenance.append(_provenance(source, parts))
    table = items.concatenate(tables)
    items.write(folder, table, np.concatenate(pixels))
    counts = np.bincount(table["label"].to_numpy(), minlength=len(collect.classes))
    per_class = dict(zip(collect.classes, counts.tolist(), strict=True))
    write_json(
        folder / "provenance.json",
        {"items": table.num_rows, "items_per_class": per_class, "sources": provenance},
    )
    smallest = min(per_class, key=lambda name: per_class[name])
    return Findings(
        summary=f"{table.num_rows:,} items of {len(per_class)} classes from {len(provenance)} source(s)",
        metrics={"items": table.num_rows, "smallest_class": per_class[smallest]},
        gates=(
            Gate("items", table.num_rows, "at least", plan.min_items, "planning",
                 "collect more data, or plan for less (plan.min_items)."),
            Gate("items_of_smallest_class", per_class[smallest], "at least", plan.min_items_per_class,
                 "planning", f"collect more of class {smallest!r}, or plan for less."),
        ),
    )  # fmt: skip


def _check(part: formats.Images, source: str, params: Collect) -> None:
    shape = (params.image.channels, params.image.height, params.image.width)
    if part.pixels.shape[1:] != shape:
        raise SourceError(
            f"{source}: images are {part.pixels.shape[1:]} (channels, height, width), but "
            f"collect.image in params.yaml says {shape}. Correct collect.image."
        )
    if len(part.pixels) != len(part.labels):
        raise SourceError(f"{source}: {len(part.pixels)} images but {len(part.labels)} labels.")
    wrong = np.flatnonzero((part.labels < 0) | (part.labels >= len(params.classes)))
    if wrong.size:
        raise SourceError(
            f"{source}: label {part.labels[wrong[0]]} of image {wrong[0]} ({part.part or 'all'}) is no "
            f"index into collect.classes (0 to {len(params.classes) - 1}); {wrong.size} such labels."
        )


def _provenance(source: Any, parts: list[formats.Images]) -> dict[str, Any]:
    origin = source.model_dump(mode="json", exclude={"idx_md5"})
    return origin | {"parts": {part.part or "all": len(part.labels) for part in parts}}
