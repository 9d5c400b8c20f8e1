"""A folder of pictures with a table of their labels, CSV with a header (UTF-8) or Parquet; a row an image.

Files that the table does not name are passed over: a table may be a choice among many pictures.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.core.errors import SourceError
from pipeline.tasks.image_classification.data.listing import Fault, Listing, Picture, refusal
from pipeline.tasks.image_classification.source_parameters import LabelTable

PARTS = ("", "train", "test")


def listing(root: Path, source: LabelTable, classes: Sequence[str]) -> Listing:
    root = root.resolve()
    index = {name: k for k, name in enumerate(classes)}
    pictures, faults = {}, []
    for row, (file, label, part, group) in enumerate(_rows(root, source), start=1):
        file = PurePosixPath(file).as_posix() if file else ""
        what = refusal(root, file) if file else "names no file"
        if what is None and file in pictures:
            what = "was named before; of several rows the first counts"
        if what is None and label not in index:
            what = f"label {label!r} is not among collect.classes"
        if what is None and part not in PARTS:
            what = f"part {part!r} is neither train nor test nor empty"
        if what is None:
            pictures[file] = Picture(file, index[label], part, group)
        else:
            faults.append(Fault(file, what, f"{source.name}, {source.labels} row {row}"))
    return Listing(sorted(pictures.values(), key=lambda p: (p.part, p.file)), faults)


def _rows(root: Path, source: LabelTable) -> list[tuple[str, str, str, str]]:
    """file, label, part, group of each row, "" where there is none."""
    refused = refusal(root, source.labels)
    if refused is not None:
        raise SourceError(f"{source.name}: labels {source.labels}: {refused}. Correct the source's `labels`.")
    declared = source.columns
    wanted = (declared.file, declared.label, declared.part, declared.group)
    try:
        table = _read(root / source.labels)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{root / source.labels}: cannot be read as a table ({error}).") from None
    missing = [name for name in wanted if name is not None and name not in table.column_names]
    if missing:
        raise SourceError(
            f"{root / source.labels}: no column {', '.join(map(repr, missing))}; params.yaml names it in "
            f"`columns` of {source.name}. There are: {', '.join(table.column_names)}."
        )
    empty = [""] * table.num_rows
    columns = [
        empty if name is None else [value or "" for value in table[name].cast(pa.string()).to_pylist()]
        for name in wanted
    ]
    return list(zip(*columns, strict=True))


def _read(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        return pq.read_table(path)
    with pyarrow.csv.open_csv(path) as reader:
        names = reader.schema.names
    # As text: a label 01 must not become the number 1.
    convert = pyarrow.csv.ConvertOptions(column_types={name: pa.string() for name in names})
    return pyarrow.csv.read_csv(path, convert_options=convert)
