"""Planning a recommendation project."""

import math

from pipeline.core.statistics import Z95
from pipeline.tasks.recommendation.parameters import ExpectedShop


def data_bytes(expected: ExpectedShop) -> float:
    """Bytes of one copy of the data."""
    purchases = expected.purchases * expected.bytes_per_purchase
    return purchases + expected.promotions * expected.bytes_per_promotion


def forward_operations(expected: ExpectedShop) -> float:
    """Operations of all forward passes of the network, in all stages that train."""
    return expected.queries * expected.passes * expected.network_mflop * 1e6


def goal_precision(_: object, expected: ExpectedShop) -> float:
    """How precisely unseen customers can tell a gain over the baseline: half of the 95 % interval.

    The gain is the mean over customers of a paired difference of recall, so its interval follows
    from the standard deviation of that difference, whatever the goal is.
    """
    return Z95 * expected.paired_sd / math.sqrt(expected.test_customers)
