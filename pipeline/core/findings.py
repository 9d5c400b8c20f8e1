"""What a task's data hooks (`collect`, `label`, `validate`, `prepare`) hand back to their stage."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.core.gates import Gate


@dataclass(frozen=True)
class Findings:
    """summary: one sentence for a person; metrics: figures; gates: requirements held against them;
    details: what a file keeps of it, as JSON."""

    summary: str
    metrics: Mapping[str, float]
    gates: tuple[Gate, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
