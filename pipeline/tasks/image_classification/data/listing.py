"""Which pictures a folder holds, before any of them is opened; and what in it cannot be used."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

FAULTS = "faults.csv"


@dataclass(frozen=True, slots=True)
class Picture:
    """file: relative to the source's folder, parted by /; label: index into the project's classes;
    part: "train", "test" or ""; group: "" for none; time: when it was captured, in UTC; by: who said the
    label, "" where the source says nothing of it"""

    file: str
    label: int
    part: str
    group: str
    time: datetime | None = None
    by: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """item: a file or folder; what: is wrong with it; where: the source, and the line of its table."""

    item: str
    what: str
    where: str

    def __str__(self) -> str:
        return f"{self.item} ({self.where}): {self.what}"


@dataclass(frozen=True)
class Listing:
    """pictures: sorted by part and file, each file once; unlabelled: pictures that wait for a label"""

    pictures: list[Picture]
    faults: list[Fault]
    unlabelled: int = 0


def write_faults(folder: Path, faults: Iterable[Fault]) -> None:
    """faults.csv: item, what, where. A name that is no UTF-8 is written with its bytes as \\xNN."""
    with (folder / FAULTS).open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["item", "what", "where"])
        rows.writerows((fault.item, fault.what, fault.where) for fault in faults)


def refusal(root: Path, file: str) -> str | None:
    """Why `file` below `root` (resolved) must not be opened; None if it may be.

    A link may lead to another place of the folder, not out of it: what lies there is neither covered by
    the folder's checksum nor meant to be published. Opening a pipe or a device could block for ever.
    """
    try:
        file.encode()
        if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
            return "leads outside the folder"
        place = (root / file).resolve()
        if not place.is_relative_to(root):
            return "is a link that leads outside the folder"
        if not place.exists():
            return "no such file"
    except UnicodeEncodeError:
        return "its name is not UTF-8; rename it"
    except (OSError, RuntimeError, ValueError) as error:
        return f"cannot be reached ({error})"
    return None if place.is_file() else "is no file"
