"""What a task's data hooks (`collect`, `label`, `prepare`) hand back to their stage."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.core.gates import Gate


@dataclass(frozen=True)
class Findings:
    """summary: one sentence for a person; metrics: figures; gates: requirements held against them."""

    summary: str
    metrics: Mapping[str, float]
    gates: tuple[Gate, ...] = ()
