"""Collecting images: every source read into one table and one array."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import sources
from pipeline.core import archives
from pipeline.core.artifacts import write_json
from pipeline.core.errors import SourceError
from pipeline.core.findings import Findings
from pipeline.core.gates import Gate
from pipeline.core.paths import Paths
from pipeline.tasks.image_classification.data import decoding, formats, items
from pipeline.tasks.image_classification.data.listing import FAULTS, Fault, write_faults
from pipeline.tasks.image_classification.parameters import Charter, Collect
from pipeline.tasks.image_classification.source_parameters import (
    ArchivedPictures,
    Arrays,
    Pictures,
    Source,
)

MIB = 1 << 20
FAULTS_TOLD = 5  # faults that a message names; faults.csv has all
FOLDERS_TOLD = 20  # of an archive


def collect(params: Any, paths: Paths, folder: Path) -> Findings:
    """Writes images.npy, items.parquet (data/items.py), faults.csv, provenance.json."""
    plan: Charter = params.plan
    collect: Collect = params.collect
    image = collect.image
    faults: list[Fault] = []
    waiting: Counter[str] = Counter()  # pictures without a label, by source
    brought = []
    with items.writing(folder, (image.channels, image.height, image.width)) as writer:
        for source in collect.sources:
            path = sources.fetch(source, paths)
            brought.append(path)
            for images in _images(path, source, collect, folder, faults, waiting):
                _check(images, source.name, collect)
                writer.add(source.name, images)
    rows = writer.rows
    write_faults(folder, faults)
    per_class = {name: writer.labels[label] for label, name in enumerate(collect.classes)}
    _refuse_empty_classes(per_class, faults)
    provenance = [
        _provenance(source, path, writer, waiting[source.name])
        for source, path in zip(collect.sources, brought, strict=True)
    ]
    write_json(
        folder / "provenance.json",
        {"items": rows, "items_per_class": per_class, "sources": provenance},
    )
    smallest = min(per_class, key=lambda name: per_class[name])
    told = f"; {len(faults):,} faulty files are left out" if faults else ""
    told += f"; {waiting.total():,} captured pictures wait for a label" if waiting.total() else ""
    return Findings(
        summary=f"{rows:,} items of {len(per_class)} classes from "
        f"{len(provenance)} source(s){told}",
        metrics={
            "items": rows,
            "smallest_class": per_class[smallest],
            "faulty_files": len(faults),
            "unlabelled": waiting.total(),
        },
        gates=(
            Gate("items", rows, "at least", plan.min_items, "planning",
                 "collect more data, or plan for less (plan.min_items)."),
            Gate("items_of_smallest_class", per_class[smallest], "at least", plan.min_items_per_class,
                 "planning", f"collect more of class {smallest!r}, or plan for less."),
            Gate("faulty_files_share", len(faults) / (len(faults) + rows), "at most",
                 plan.faulty_files_share_max, "data",
                 f"mend or remove what data/{paths.project}/collected/{FAULTS} names, or allow more "
                 "(plan.faulty_files_share_max)."),
        ),
    )  # fmt: skip


def _images(
    path: Path,
    source: Source,
    params: Collect,
    folder: Path,
    faults: list[Fault],
    waiting: Counter[str],
) -> Iterator[formats.Images]:
    """folder: where an archive may be unpacked for the time being"""
    if isinstance(source, Arrays):
        yield from formats.read(path, source)
        return
    with _opened(path, source, folder, faults) as root:
        listed = formats.listing(root, source, params.classes)
        faults += listed.faults
        waiting[source.name] += listed.unlabelled
        yield from decoding.decoded(root, listed, source, params.image, faults)


@contextmanager
def _opened(path: Path, source: Pictures, folder: Path, faults: list[Fault]) -> Iterator[Path]:
    """The folder of pictures; of an archive one that lasts as long as it is read."""
    if not isinstance(source, ArchivedPictures):
        yield path
        return
    declared = source.archive
    bounds = archives.Bounds(int(declared.member_mib_max * MIB), int(declared.total_mib_max * MIB))
    with tempfile.TemporaryDirectory(dir=folder, prefix="unpacked-") as unpacked:
        refused = archives.unpack(path, Path(unpacked), bounds)
        faults += [Fault(one.name, one.why, source.name) for one in refused]
        root = Path(unpacked) / (declared.within or "")
        if not root.is_dir():
            there = ", ".join(sorted(p.name for p in Path(unpacked).iterdir())[:FOLDERS_TOLD])
            raise SourceError(
                f"{path}: has no folder {declared.within!r} inside; at its top there are "
                f"{there or 'no files'}. Correct archive.within of {source.name} in params.yaml."
            )
        yield root


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


def _refuse_empty_classes(per_class: dict[str, int], faults: list[Fault]) -> None:
    empty = [name for name, count in per_class.items() if not count]
    if not empty:
        return
    there = [name for name in per_class if name not in empty]
    only = f" There are images of one class only, {there[0]!r}." if len(there) == 1 else ""
    found = "".join(f"\n  {fault}" for fault in faults[:FAULTS_TOLD])
    told = f" {len(faults):,} files could not be used, the first of them:{found}" if faults else ""
    raise SourceError(
        f"no image of {', '.join(map(repr, empty))}, though collect.classes in params.yaml has it.{only} "
        f"Bring images of every class, or take the class out of collect.classes.{told}"
    )


def _provenance(source: Source, path: Path, writer: items.Writer, unlabelled: int) -> dict[str, Any]:
    """What params.yaml says of the source, with the checksum found where none was declared.

    captured: the first and the last moment of its rows that say one, in UTC; null: none does
    """
    origin = source.model_dump(mode="json", exclude={"idx_md5"})
    parts = {part or "all": n for (name, part), n in writer.counts.items() if name == source.name}
    captured = writer.captured.get(source.name)
    return origin | {
        "sha256": source.sha256 or sources.checksum(path),
        "parts": parts,
        "captured": captured and [moment.isoformat() for moment in captured],
        "unlabelled": unlabelled,
    }
