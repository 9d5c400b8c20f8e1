"""A folder of pictures with a table of their labels, CSV with a header (UTF-8) or Parquet; a row an image.

Files that the table does not name are passed over: a table may be a choice among many pictures.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pipeline.tasks.image_classification.data.label_rows import rows
from pipeline.tasks.image_classification.data.listing import Fault, Listing, Picture, refusal
from pipeline.tasks.image_classification.source_parameters import LabelTable

PARTS = ("", "train", "test")


def listing(root: Path, source: LabelTable, classes: Sequence[str]) -> Listing:
    root = root.resolve()
    index = {name: k for k, name in enumerate(classes)}
    declared = source.columns
    wanted = (declared.file, declared.label, declared.part, declared.group)
    pictures, faults = {}, []
    for row, (file, label, part, group) in enumerate(rows(root, source.labels, wanted, source.name), start=1):
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
