"""What a trial counts for Prometheus."""

from functools import cache


class TrialMetrics:
    """The last three are what PredictionLog counts, here of the trial's rows."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge  # imported late for the reason that metrics.py gives

        self.answers = Counter(
            "fullcycle_trial_answers",
            "Answers of a challenger; outcome: answered, failed.",
            ["version", "role", "outcome"],
        )
        self.dropped = Counter(
            "fullcycle_trial_dropped", "Requests that a trial left out: too many waited.", ["role"]
        )
        self.stopped = Gauge(
            "fullcycle_trial_stopped",
            "1 where the challenger has left its bounds and gets no more requests, else 0.",
            ["version"],
            multiprocess_mode="livemax",
        )
        self.log_dropped = Counter("fullcycle_trial_log_dropped", "Rows of a trial that were not logged.")
        self.log_failures = Counter(
            "fullcycle_trial_log_failures", "Attempts to write rows of a trial that failed."
        )
        self.log_waiting = Gauge(
            "fullcycle_trial_log_waiting", "Rows of a trial not yet written.", multiprocess_mode="livesum"
        )


@cache
def trial_metrics() -> TrialMetrics:
    """The one set of counters of this process."""
    return TrialMetrics()
