"""What a task's `evaluate` hands back to the stage."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.core.gates import Gate
from pipeline.core.statistics import Interval


@dataclass(frozen=True)
class Evaluation:
    """metrics: headline figures; intervals: 95 %, of those metrics that are estimates; details: for
    the report, as JSON; summary: one sentence for a person."""

    summary: str
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    gates: tuple[Gate, ...]
    details: Mapping[str, Any]

    def joined(self, *others: "Evaluation") -> "Evaluation":
        """With the metrics, intervals, gates and details of others; the summary stays."""
        every = (self, *others)
        return Evaluation(
            summary=self.summary,
            metrics={name: value for one in every for name, value in one.metrics.items()},
            intervals={name: interval for one in every for name, interval in one.intervals.items()},
            gates=tuple(gate for one in every for gate in one.gates),
            details={name: value for one in every for name, value in one.details.items()},
        )
