"""One person's way through the queue: every decision is in labels/P.csv at once, and can be undone."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pipeline.core.errors import ParameterError
from pipeline.core.paths import Paths
from pipeline.labels import corrections
from pipeline.labels.corrections import Correction
from pipeline.relabeling.labelled import Doubt


class Review:
    """The file is read anew for each decision: what others write into it meanwhile stays."""

    def __init__(self, paths: Paths, classes: Sequence[str], doubts: Sequence[Doubt], by: str) -> None:
        self.paths, self.classes, self.by = paths, classes, by
        self._doubts = {doubt.item_id: doubt for doubt in doubts}
        self._undo: list[tuple[str, Correction | None]] = []

    def __contains__(self, item: str) -> bool:
        return item in self._doubts

    def state(self) -> dict[str, Any]:
        """What the page shows; `label` of an item is null until it is decided."""
        known = corrections.read(self.paths.corrections)
        return {
            "project": self.paths.project,
            "classes": list(self.classes),
            "undoable": len(self._undo),
            "items": [
                asdict(doubt) | {"label": known[item].label if item in known else None}
                for item, doubt in self._doubts.items()
            ],
        }

    def decide(self, item: str, label: str) -> None:
        """ParameterError for an item that is not under review, or a label that is no class."""
        if item not in self._doubts:
            raise ParameterError(f"item_id {item!r} is not under review. Load the page again.")
        if label not in self.classes:
            allowed = ", ".join(self.classes)
            raise ParameterError(f"label {label!r} is no class of {self.paths.project}. Allowed: {allowed}.")
        earlier = self._set(item, Correction(label, self.by))
        self._undo.append((item, earlier))

    def undo(self) -> tuple[str, str | None]:
        """Takes the last decision back: its item, and the label that it has now, if any."""
        if not self._undo:
            raise ParameterError("There is nothing to undo: no decision was made since the review began.")
        item, earlier = self._undo[-1]
        self._set(item, earlier)
        self._undo.pop()
        return item, earlier.label if earlier else None

    def decided(self) -> int:
        """How many of the items under review have a label."""
        return len(self._doubts.keys() & corrections.read(self.paths.corrections).keys())

    def _set(self, item: str, correction: Correction | None) -> Correction | None:
        """Writes the correction of an item, or none; returns the one that stood there."""
        known = corrections.read(self.paths.corrections)
        earlier = known.pop(item, None)
        if correction is not None:
            known[item] = correction
        if known:
            corrections.write(self.paths.corrections, known)
        else:
            self.paths.corrections.unlink(missing_ok=True)
        return earlier
