"""What a service counts of following the registry."""

from functools import cache


class FollowerMetrics:
    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge  # imported late for the reason that metrics.py gives

        self.swaps = Counter("fullcycle_model_swaps", "Models taken over from the registry.", ["alias"])
        self.refused = Counter("fullcycle_models_refused", "Registered models not taken over.", ["alias"])
        self.failures = Counter(
            "fullcycle_registry_failures", "Looks at the registry, or attempts to bring a model, that failed."
        )
        self.reachable = Gauge(
            "fullcycle_registry_reachable",
            "1 where the registry answered when it was last looked at.",
            multiprocess_mode="livemin",
        )


@cache
def follower_metrics() -> FollowerMetrics:
    """The one set of counters of this process."""
    return FollowerMetrics()
