"""From what people write in a file of labels (item_id, name of a class) to rows and indices."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.core.errors import SourceError


class LabelNames:
    """path: the file that is read, for messages; item_ids: of all items; classes: their names, in order"""

    def __init__(self, path: Path, item_ids: Sequence[str], classes: Sequence[str]) -> None:
        self.path, self.example = path, item_ids[0]
        self.rows = {item: row for row, item in enumerate(item_ids)}
        self.classes = {name: index for index, name in enumerate(classes)}

    def row(self, item: str) -> int:
        if item not in self.rows:
            raise SourceError(
                f"{self.path}: no item {item!r} was collected; item_ids are as in items.parquet and "
                f"queue.csv, for instance {self.example!r}. Correct the item_id, or take the line out."
            )
        return self.rows[item]

    def index(self, label: str, item: str) -> int:
        """label: the name of a class that stands in the line of `item`"""
        if label not in self.classes:
            raise SourceError(
                f"{self.path}: item {item!r} has the label {label!r}, which is no class; allowed are "
                f"{', '.join(self.classes)} (collect.classes in params.yaml). Correct the label."
            )
        return self.classes[label]
