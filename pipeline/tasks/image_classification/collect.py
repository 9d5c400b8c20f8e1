"""Collecting images: every source read into one table and one array."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline import sources
from pipeline.core.artifacts import write_json
from pipeline.core.errors import SourceError
from pipeline.core.paths import Paths
from pipeline.tasks.image_classification.data import formats, items
from pipeline.tasks.image_classification.parameters import Collect


def collect(params: Collect, paths: Paths, folder: Path) -> None:
    """Writes images.npy, items.parquet (data/items.py), provenance.json."""
    tables, pixels, provenance = [], [], []
    for source in params.sources:
        path = sources.fetch(source, paths)
        parts = formats.read(path, source)
        for part in parts:
            _check(part, source.name, params)
            tables.append(items.table(source.name, part.part, part.pixels, part.labels))
            pixels.append(part.pixels)
        provenance.append(_provenance(source, parts))
    table = items.concatenate(tables)
    items.write(folder, table, np.concatenate(pixels))
    counts = np.bincount(table["label"].to_numpy(), minlength=len(params.classes))
    per_class = dict(zip(params.classes, counts.tolist(), strict=True))
    write_json(
        folder / "provenance.json",
        {"items": table.num_rows, "items_per_class": per_class, "sources": provenance},
    )


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
