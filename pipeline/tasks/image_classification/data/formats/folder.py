"""A folder of pictures with one folder a class: CLASS/NAME.jpg, CLASS/ANY/FOLDER/NAME.png.

Hidden files and what file managers leave behind are passed over.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.core.errors import SourceError
from pipeline.tasks.image_classification.data.listing import Fault, Listing, Picture, refusal
from pipeline.tasks.image_classification.source_parameters import Pictures

LEFT_BEHIND = {"Thumbs.db", "desktop.ini"}


def listing(root: Path, source: Pictures, classes: Sequence[str]) -> Listing:
    root = root.resolve()
    index = {name: k for k, name in enumerate(classes)}
    pictures, faults = [], []
    for file in sorted(files(root)):
        name, slash, _ = file.partition("/")
        what = refusal(root, file)
        if what is None and not slash:
            what = "stands in no class's folder"
        if what is None and name not in index:
            what = f"its folder {name!r} is not among collect.classes"
        if what is None:
            pictures.append(Picture(file, index[name], "", ""))
        else:
            faults.append(Fault(file, what, source.name))
    return Listing(pictures, faults)


def files(root: Path) -> Iterator[str]:
    """All files below `root`, as paths relative to it; of a link to a folder the link itself."""

    def unreadable(error: OSError) -> None:
        raise SourceError(f"{error.filename}: cannot be read ({error.strerror}). Make it readable.")

    for place, folders, names in os.walk(root, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if Path(place, name).is_symlink()]
        for name in (*names, *links):
            if not name.startswith(".") and name not in LEFT_BEHIND:
                yield Path(place, name).relative_to(root).as_posix()
