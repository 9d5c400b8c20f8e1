"""Drift: does a window of predictions look like the reference?

Each property is compared with a two-sample Kolmogorov-Smirnov test; Bonferroni's correction keeps
the chance that any of them raises an alarm by accident at most `alarm_p`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Properties = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Judgement:
    """p: corrected p-value of the property that moved most; cause: its name; shift: how far its
    median moved, in standard deviations of the reference."""

    p: float
    cause: str
    shift: float

    def alarm(self, alarm_p: float) -> bool:
        return self.p < alarm_p


def judge(reference: Properties, window: Properties) -> Judgement:
    """reference, window: the same properties, float (N,) and float (M,)."""
    from scipy.stats import ks_2samp

    tests = {name: ks_2samp(reference[name], window[name], method="asymp") for name in reference}
    # The distance, not the p-value, tells which moved most: small p-values underflow to 0 alike.
    cause = max(tests, key=lambda name: tests[name].statistic)
    smallest = min(float(test.pvalue) for test in tests.values())
    spread = float(np.std(reference[cause])) or 1.0
    shift = float(np.median(window[cause]) - np.median(reference[cause])) / spread
    return Judgement(min(1.0, smallest * len(tests)), cause, shift)
