"""What a task's `train` hands back to the stage."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.core.gates import Gate


@dataclass(frozen=True)
class Training:
    """description: for model.json, only what the same inputs always give; metrics: figures of this
    run, times among them; summary: one sentence for a person; files: what the task adds to the
    model package, relative to its folder; gates: requirements held against the training itself."""

    description: Mapping[str, Any]
    metrics: Mapping[str, float]
    summary: str
    files: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()
