"""A gate: a stated requirement held against evidence."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Gate:
    """`value` must be at least (or at most) `bound`.

    `interval` is the 95 % interval of `value` where it is an estimate. `revisit` names the phase
    of the lifecycle to go back to when the gate fails, and `remedy` says what to do there.
    A value that is not a number fails: a comparison with NaN is never true.
    """

    name: str
    value: float
    rule: Literal["at least", "at most"]
    bound: float
    revisit: Literal["planning", "data", "training", "testing", "deploying"]
    remedy: str
    interval: tuple[float, float] | None = None

    @property
    def passed(self) -> bool:
        return self.value >= self.bound if self.rule == "at least" else self.value <= self.bound

    def __str__(self) -> str:
        verdict = "holds" if self.passed else "FAILS"
        interval = f" [{self.interval[0]:.5g}, {self.interval[1]:.5g}]" if self.interval else ""
        return f"{self.name} {verdict}: {self.value:.5g}{interval}, required {self.rule} {self.bound:.5g}"

    def as_json(self) -> dict[str, Any]:
        finite = self.value == self.value and abs(self.value) != float("inf")
        return asdict(self) | {"value": self.value if finite else None, "passed": self.passed}
