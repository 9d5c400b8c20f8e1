"""What a task's `evaluate` hands back to the stage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.core.gates import Gate
from pipeline.core.statistics import Interval


@dataclass(frozen=True)
class Part:
    """What one of the tests of an evaluation found; the fields are those of the whole."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """metrics: headline figures; intervals: 95 %, of those metrics that are estimates; details: for
    the report, as JSON; summary: one sentence for a person."""

    summary: str
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    gates: tuple[Gate, ...]
    details: Mapping[str, Any]


def put_together(summary: str, parts: Sequence[Part]) -> Evaluation:
    """One evaluation of all its parts, in their order."""
    return Evaluation(
        summary=summary,
        metrics={name: value for part in parts for name, value in part.metrics.items()},
        intervals={name: value for part in parts for name, value in part.intervals.items()},
        gates=tuple(gate for part in parts for gate in part.gates),
        details={name: value for part in parts for name, value in part.details.items()},
    )
