"""Plan: is the project viable with the goals, data and resources that its charter states?

Reads   nothing but params.yaml and the machine
Writes  reports/P/plan.json; data/P/inbox, empty, where there is none yet (pipeline/core/inbox.py)
Params  goals, plan
"""

import shutil
import time

import numpy as np

from pipeline.core import inbox
from pipeline.core.artifacts import write_json
from pipeline.core.gates import Gate
from pipeline.core.parameters import Plan
from pipeline.core.resources import GIB, estimate
from pipeline.core.stage import Context, Evidence, main

PARAMS = ("goals", "plan")
# Multiplications of a matrix with itself in the speed test; 2 * SIDE^3 operations each.
SIDE, REPEATS = 1024, 8


def run(context: Context) -> Evidence:
    plan: Plan = context.params.plan
    expected = plan.expected
    inbox.opened(context.paths)
    hook = context.hook()
    needs = estimate(plan, hook)
    measured = machine_gflops()
    precision = hook.goal_precision(context.params.goals, expected)
    disk_free = shutil.disk_usage(context.paths.root).free / GIB
    resources = plan.resources
    gates = (
        Gate("planned_minutes", needs["minutes"], "at most", resources.minutes_max, "planning",
             "use a smaller network, fewer passes, or a faster machine."),
        Gate("planned_memory_gib", needs["memory_gib"], "at most", resources.memory_gib_max, "planning",
             "plan for less data in memory, or for a larger machine."),
        Gate("planned_disk_gib", needs["disk_gib"], "at most", min(resources.disk_gib_max, disk_free),
             "planning", f"{disk_free:.1f} GiB are free here; free some, or plan for less data."),
        Gate("goal_precision", precision, "at most", expected.precision, "planning",
             "so little unseen data cannot tell whether the goal is met; plan for more of it."),
    )  # fmt: skip
    write_json(
        context.paths.reports / "plan.json",
        {
            "charter": plan.model_dump(mode="json"),
            "goals": context.params.goals.model_dump(mode="json"),
            "estimate": needs,
            "gpu": shutil.which("nvidia-smi") is not None,
            "viable": all(gate.passed for gate in gates),
        },
    )
    return Evidence(
        summary=f"about {needs['minutes']:.1f} min, {needs['memory_gib']:.1f} GiB of memory, "
        f"{needs['disk_gib']:.1f} GiB of disk on a machine of {expected.machine_gflops:.0f} GFLOP/s "
        f"(this one does {measured:.0f} now); the goal can be told to ±{precision:.2%}",
        metrics=needs | {"measured_gflops": measured},
        gates=gates,
        blocking=True,
    )


def machine_gflops() -> float:
    """Milliards of float32 operations a second of numpy's matrix product here (best of REPEATS)."""
    matrix = np.ones((SIDE, SIDE), dtype=np.float32)
    best = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - began)
    return 2 * SIDE**3 / best / 1e9


if __name__ == "__main__":
    main(run, PARAMS)
