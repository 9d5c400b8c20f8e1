"""From a file that people filled in to labels/P.csv. A file with one wrong row changes nothing."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import ParameterError, SourceError
from pipeline.core.paths import Paths
from pipeline.labels import corrections
from pipeline.labels.corrections import Correction
from pipeline.relabeling import label_studio, labelled
from pipeline.relabeling.votes import Reading, Vote, settle

NEEDED, WHO = ("item_id", "label"), "by"
SHOWN = 10  # problems, or classes, in a message


@dataclass(frozen=True)
class Imported:
    """new: another label than the given one; confirmed: the given one, so that it is not queued again;
    changed: another label than an earlier import said; unchanged: the same as before.
    skipped: answers left empty or cancelled; disagreements: items without a majority, left out.
    """

    new: int
    confirmed: int
    changed: int
    unchanged: int
    skipped: int
    disagreements: list[str]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def run(path: Path, paths: Paths, classes: Sequence[str], by: str | None, unsigned: str) -> Imported:
    """Merges `path` into labels/P.csv.

    by: replaces what the file says of who it was; unsigned: stands where it says nothing.
    """
    reading = _read(path)
    given = labelled.read_given(paths, classes)
    reading.problems += [
        problem for vote in reading.votes for problem in _problems(vote, given, classes, paths)
    ]
    if reading.problems:
        raise SourceError(_told(path, paths, reading.problems))
    settled, disagreements = settle(reading.votes)
    said = {
        item: Correction(correction.label, by or correction.by or unsigned)
        for item, correction in settled.items()
    }
    known = corrections.read(paths.corrections)
    merged = known | {
        item: c for item, c in said.items() if item not in known or known[item].label != c.label
    }
    if merged != known:
        corrections.write(paths.corrections, merged)
    fresh = [item for item in said if item not in known]
    changed = [item for item in said if item in known and known[item].label != said[item].label]
    confirmed = [item for item in fresh if said[item].label == given[item]]
    return Imported(
        new=len(fresh) - len(confirmed),
        confirmed=len(confirmed),
        changed=len(changed),
        unchanged=len(said) - len(fresh) - len(changed),
        skipped=reading.skipped,
        disagreements=disagreements,
    )


def _read(path: Path) -> Reading:
    readers = {".json": label_studio.read, ".csv": read_csv}
    if path.suffix.lower() not in readers:
        raise ParameterError(f"{path}: its name must end in {' or '.join(readers)}.")
    try:
        if not path.stat().st_size:
            raise SourceError(f"{path}: the file is empty.")
        return readers[path.suffix.lower()](path)
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: not UTF-8 text ({error}). Save it as UTF-8.") from None
    except OSError as error:
        raise ParameterError(f"{path}: cannot be read: {error.strerror}.") from None


def read_csv(path: Path) -> Reading:
    """Columns item_id and label, and `by` where it is known; what else stands beside them is not read.

    A row without a label counts as skipped, so that a queue may be filled in partly.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file, restkey="", restval="")
        try:
            columns = list(rows.fieldnames or ())
            missing = [name for name in NEEDED if name not in columns]
            if missing:
                raise SourceError(
                    f"{path}: has no column {' and no '.join(missing)}. Its columns are "
                    f"{', '.join(columns)}; item_id and label are needed, with commas between them. "
                    "Add what is missing."
                )
            twice = [name for name in (*NEEDED, WHO) if columns.count(name) > 1]
            if twice:
                raise SourceError(f"{path}: has the column {twice[0]} twice. Keep one of them.")
            return _votes(rows)
        except csv.Error as error:
            raise SourceError(f"{path}, line {rows.line_num}: not CSV: {error}.") from None


def _votes(rows: csv.DictReader) -> Reading:
    reading = Reading()
    seen: dict[tuple[str, str], Vote] = {}
    for row in rows:
        where = f"line {rows.line_num}"
        if row.get(""):
            reading.problems.append(f"{where}: has more values than there are columns.")
            continue
        item, label, by = row["item_id"].strip(), row["label"].strip(), " ".join(row.get(WHO, "").split())
        if not label:
            reading.skipped += 1
            continue
        vote = Vote(item, label, by, 0.0, where)
        earlier = seen.setdefault((item, by), vote)
        if earlier.label != label:
            reading.problems.append(
                f"{where}: {item} is {label!r} here and {earlier.label!r} in {earlier.where}. Keep one line."
            )
        elif earlier is vote:
            reading.votes.append(vote)
    return reading


def _problems(vote: Vote, given: Mapping[str, str], classes: Sequence[str], paths: Paths) -> list[str]:
    found = []
    if vote.item_id not in given:
        known = paths.labelled / "labels.parquet"
        found.append(f"{vote.where}: item_id {vote.item_id!r} is not known. Allowed: those of {known}.")
    if vote.label not in classes:
        more = ", …" if len(classes) > SHOWN else ""
        names = ", ".join(classes[:SHOWN]) + more
        found.append(f"{vote.where}: label {vote.label!r} is no class of {paths.project}. Allowed: {names}.")
    return found


def _told(path: Path, paths: Paths, problems: Sequence[str]) -> str:
    lines = [f"{path}, {problem}" for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"and {len(problems) - SHOWN:,} more.")
    return "\n".join(
        [*lines, f"Nothing was written. Mend the file, then import it into {paths.project} again."]
    )
