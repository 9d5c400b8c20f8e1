"""Label Studio's files: tasks with suggestions for its import, and what its export says.

Formats: labelstud.io/guide/predictions (import), labelstud.io/guide/task_format (export as JSON).
JSON-MIN has one object an annotation, with data, answer, `annotator` and `updated_at` side by side.
"""

import base64
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pipeline.core.errors import SourceError
from pipeline.relabeling.labelled import Doubt
from pipeline.relabeling.votes import Reading, Vote

CHOICES, IMAGE = "label", "image"  # names in the labeling config, which results refer to
Person = int | str | dict[str, Any] | None


class Value(BaseModel):
    choices: list[str] = []


class Result(BaseModel):
    from_name: str = ""
    value: Value = Value()


class Annotation(BaseModel):
    result: list[Result] = []
    was_cancelled: bool = False
    completed_by: Person = None
    updated_at: datetime | None = None


class Item(BaseModel):
    item_id: str


class Task(BaseModel):
    data: Item
    annotations: list[Annotation]


class Minimal(Item):
    """An entry of JSON-MIN; the answer stands under the name of the choices."""

    label: str | Value | None = None
    annotator: Person = None
    updated_at: datetime | None = None


def config(classes: Sequence[str]) -> str:
    """The labeling config, as XML: the image, the label that it came with, and a choice of the classes."""
    view = ET.Element("View")
    ET.SubElement(view, "Header", value="Given: $given")
    ET.SubElement(view, "Image", name=IMAGE, value=f"${IMAGE}", smoothing="false")
    choices = ET.SubElement(view, "Choices", name=CHOICES, toName=IMAGE, choice="single", required="true")
    for name in classes:
        ET.SubElement(choices, "Choice", value=name)
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def tasks(
    doubts: Iterable[Doubt], picture: Callable[[str], bytes], model_version: str
) -> list[dict[str, Any]]:
    """One task a doubt, with the suggested label as a prediction.

    The prediction's score is that of the given label, so that Label Studio's order by score, lowest
    first, is that of the queue. The image is part of the task: no files have to be served.
    """
    return [
        {
            "data": {
                IMAGE: "data:image/png;base64," + base64.b64encode(picture(doubt.item_id)).decode(),
                "item_id": doubt.item_id,
                "given": doubt.given,
                "suggested": doubt.suggested,
                "rank": doubt.rank,
            },
            "predictions": [
                {
                    "model_version": model_version,
                    "score": doubt.score,
                    "result": [
                        {
                            "id": f"rank{doubt.rank}",
                            "from_name": CHOICES,
                            "to_name": IMAGE,
                            "type": "choices",
                            "value": {"choices": [doubt.suggested]},
                        }
                    ],
                }
            ],
        }
        for doubt in doubts
    ]


def read(path: Path) -> Reading:
    """The annotations of an export, as JSON or JSON-MIN. SourceError where it is neither."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}: not valid JSON: {error}. Export it again from Label Studio.") from None
    if not isinstance(content, list) or not content:
        what = "an empty list" if content == [] else f"a JSON {type(content).__name__}"
        raise SourceError(
            f"{path}: holds {what}; a list of tasks is needed, which is what Label Studio exports as JSON or "
            "JSON-MIN."
        )
    reading = Reading()
    for number, entry in enumerate(content, 1):
        where = f"task {number}"
        try:
            if isinstance(entry, dict) and "data" not in entry:
                _add_minimal(reading, where, Minimal.model_validate(entry))
            else:
                _add(reading, where, Task.model_validate(entry))
        except ValidationError as error:
            reading.problems += [f"{where}: {_said(problem)}" for problem in error.errors()]
    return reading


def _add(reading: Reading, where: str, task: Task) -> None:
    for annotation in task.annotations:
        if annotation.was_cancelled or not annotation.result:
            reading.skipped += 1
            continue
        chosen = [name for one in annotation.result if one.from_name == CHOICES for name in one.value.choices]
        _vote(reading, where, task.data.item_id, chosen, annotation.completed_by, annotation.updated_at)


def _add_minimal(reading: Reading, where: str, entry: Minimal) -> None:
    if entry.label is None:
        reading.skipped += 1
        return
    chosen = [entry.label] if isinstance(entry.label, str) else entry.label.choices
    _vote(reading, where, entry.item_id, chosen, entry.annotator, entry.updated_at)


def _vote(
    reading: Reading, where: str, item: str, chosen: Sequence[str], by: Person, time: datetime | None
) -> None:
    if len(chosen) != 1:
        met = ", ".join(chosen) or "none"
        reading.problems.append(
            f"{where}: {item} must have one choice of {CHOICES!r}, as in the labeling config; met: {met}."
        )
        return
    seconds = 0.0 if time is None else time.timestamp()
    reading.votes.append(Vote(item, chosen[0], _name(by), seconds, where))


def _name(by: Person) -> str:
    """Label Studio knows people by number, by address, or by an object with both."""
    match by:
        case None:
            return ""
        case dict():
            return _name(by.get("email") or by.get("id"))
        case int():
            return f"annotator {by}"
        case _:
            return " ".join(by.split())


def _said(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "missing":
        return f"{place} is missing; it stands in every task that Label Studio exports of those it was given."
    return f"{place}: {problem['msg']}." if place else f"{problem['msg']}."
