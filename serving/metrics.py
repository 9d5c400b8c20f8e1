"""What every service counts for Prometheus.

prometheus_client picks its multi-process mode when it is first imported, by an environment variable
that BentoML sets for its workers: it is imported when the service starts, not with this module.
"""

import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's: where processes count together

LATENCY_BUCKETS = (
    0.001,
    0.002,
    0.003,
    0.005,
    0.0075,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
)  # seconds


class Metrics:
    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self.requests = Counter("fullcycle_requests", "Requests answered.", ["route", "status"])
        self.errors = Counter("fullcycle_errors", "Requests refused or failed, by error code.", ["code"])
        self.seconds = Histogram(
            "fullcycle_request_seconds",
            "From the request's first byte to the answer, in seconds.",
            ["route"],
            buckets=LATENCY_BUCKETS,
        )
        self.log_dropped = Counter(
            "fullcycle_prediction_log_dropped", "Predictions answered but not logged: the log was full."
        )
        self.log_failures = Counter(
            "fullcycle_prediction_log_failures", "Attempts to write the prediction log that failed."
        )
        self.log_waiting = Gauge(
            "fullcycle_prediction_log_waiting",
            "Predictions answered but not yet written to the log.",
            multiprocess_mode="livesum",
        )


@cache
def answers(route: str, status: int) -> "tuple[Counter, Histogram]":
    """The count and the seconds of such answers; looking labels up takes longer than counting."""
    return metrics().requests.labels(route, status), metrics().seconds.labels(route)


@cache
def metrics() -> Metrics:
    """The one set of counters of this process."""
    return Metrics()


def exposition() -> tuple[bytes, str]:
    """What is shown at /metrics, of all workers that BentoML started; and its media type."""
    from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = REGISTRY
    if MULTIPROCESS_VARIABLE in os.environ:
        _forget_dead(Path(os.environ[MULTIPROCESS_VARIABLE]))
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _forget_dead(folder: Path) -> None:
    """What a worker said of itself ends with it, also where it was killed; what it counted stays."""
    from prometheus_client.multiprocess import mark_process_dead

    for pid in {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*.db")}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            with suppress(FileNotFoundError):  # who else is shown the figures at this moment has done it
                mark_process_dead(pid)
