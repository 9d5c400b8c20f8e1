"""What a project will cost, by its charter; the task says how much data and work it means."""

from types import ModuleType

from pipeline.core.parameters import Plan

GIB = 1 << 30
# Backward costs about twice the forward pass (one product for the inputs, one for the weights).
PASSES_OF_A_STEP = 3


def estimate(plan: Plan, hook: ModuleType) -> dict[str, float]:
    """Resources from the charter's expectations; the task says how much data and work they mean.

    The time is that on the machine planned for, not on this one as it happens to be loaded now: a
    plan that changed with the load could not be held against what came. `review` compares.
    """
    expected = plan.expected
    data_gib = hook.data_bytes(expected) / GIB
    work = hook.forward_operations(expected) * PASSES_OF_A_STEP
    return {
        "data_gib": data_gib,
        "disk_gib": data_gib * expected.copies_on_disk + expected.fixed_disk_gib,
        "memory_gib": data_gib * expected.copies_in_memory + expected.fixed_memory_gib,
        "minutes": work / (expected.machine_gflops * 1e9 * expected.efficiency) / 60 + expected.fixed_minutes,
    }
