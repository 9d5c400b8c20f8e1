"""Planning an image project."""

from pipeline.core.statistics import wilson_interval
from pipeline.tasks.image_classification.parameters import ExpectedImages, Goals


def data_bytes(expected: ExpectedImages) -> float:
    """Bytes of one copy of the data."""
    return expected.items * expected.bytes_per_item


def forward_operations(expected: ExpectedImages) -> float:
    """Operations of all forward passes of the network, in all stages that train."""
    return expected.items * expected.passes * expected.network_mflop * 1e6


def goal_precision(goals: Goals, expected: ExpectedImages) -> float:
    """How precisely the unseen items can tell whether the goal is met: half of the 95 % interval."""
    right = round(goals.accuracy_min * expected.test_items)
    low, high = wilson_interval(right, expected.test_items)
    return (high - low) / 2
