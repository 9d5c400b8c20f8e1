"""The inbox of an image project: the pictures that production captured, and what people say they show.

labels.csv              a row a picture; CSV with a header, UTF-8, the columns COLUMNS
pictures/DAY/NAME.png   PNG or JPEG; any place below the inbox will do

    file           relative to the inbox
    label          name of the class; empty while nobody has said it: such a picture waits
    by             who said so; a label without a person is refused, as no network labels its own answers
    time           when it was captured, ISO 8601 with a time zone
    prediction_id  of the answer in the prediction log; may be empty

Who adds pictures writes the files first and then the table, whole, in place of the old one
(pipeline.core.artifacts.writing_file), so that no row ever names a file that is not there.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from pipeline.tasks.image_classification.data.label_rows import rows
from pipeline.tasks.image_classification.data.listing import Fault, Listing, Picture, refusal
from pipeline.tasks.image_classification.source_parameters import InboxImages

LABELS = "labels.csv"
COLUMNS = ("file", "label", "by", "time", "prediction_id")


def listing(root: Path, source: InboxImages, classes: Sequence[str]) -> Listing:
    root = root.resolve()
    if not (root / LABELS).exists():
        return Listing([], [])
    index = {name: k for k, name in enumerate(classes)}
    pictures: dict[str, Picture] = {}
    faults, named, unlabelled = [], set(), 0
    for row, (file, label, by, time, _) in enumerate(rows(root, LABELS, COLUMNS, source.name), start=1):
        file = PurePosixPath(file).as_posix() if file else ""
        what = refusal(root, file) if file else "names no file"
        if what is None and file in named:
            what = "was named before; of several rows the first counts"
        named.add(file)
        if what is None and not label:
            unlabelled += 1
            continue
        if what is None and label not in index:
            what = f"label {label!r} is not among collect.classes"
        if what is None and not by:
            what = f"label {label!r} was said by nobody"
        moment = _moment(time)
        if what is None and moment is None:
            what = f"time {time!r} is none with a time zone, such as 2026-03-01T18:30:00+00:00"
        if what is None:
            pictures[file] = Picture(file, index[label], "", "", moment, by)
        else:
            faults.append(Fault(file, what, f"{source.name}, {LABELS} row {row}"))
    return Listing([pictures[file] for file in sorted(pictures)], faults, unlabelled)


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else None
    except (ValueError, OverflowError):
        return None
