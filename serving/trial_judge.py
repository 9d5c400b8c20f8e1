"""Whether a challenger keeps its bounds, judged answer by answer (pipeline/trial/sequential.py).

errors  no more than `error_share_max` of its answers fail
ratio   no more than half of its answers take over `latency_ratio_max` times the champion's time on the
        same question: of a challenger that is as fast, no more than half do, however times scatter
slow    no more than `slow_share_max` take over `latency_ms_max` where the champion takes less, *and* the
        champion is not as often the slow one: a machine that is busy makes both slow

Each may spend a third of 1 - `confidence`, so that a challenger that keeps all bounds is stopped with at most
that probability, however long its trial lasts.
"""

from pipeline.core.serve_parameters import Trial
from pipeline.trial.sequential import WatchedShare


class Judge:
    """Not for several threads at once. first_answered, first_timed: number of the first window of each."""

    def __init__(self, settings: Trial, first_answered: int = 0, first_timed: int = 0) -> None:
        self._bounds = settings.bounds
        alpha, window = (1 - settings.confidence) / 3, settings.window
        self._errors = WatchedShare(self._bounds.error_share_max, alpha, window, first_answered)
        self._ratio = WatchedShare(0.5, alpha, window, first_timed)
        self._slow = WatchedShare(self._bounds.slow_share_max, alpha, window, first_timed)
        self._slower = WatchedShare(0.5, alpha, window, first_timed)

    def answered(self, failed: bool) -> str:
        """An answer more. Returns why the challenger must be stopped, "" where it need not."""
        found = self._errors.add(failed)
        if found is None:
            return ""
        return f"{found[0]} of {found[1]} answers failed; {self._bounds.error_share_max:.2%} may"

    def timed(self, milliseconds: float, champion: float) -> str:
        """The time of an answer, and the champion's on the same question; as `answered`."""
        bounds = self._bounds
        ratio = self._ratio.add(milliseconds > bounds.latency_ratio_max * champion)
        slow, champion_slow = (value > bounds.latency_ms_max for value in (milliseconds, champion))
        alone = self._slow.add(slow and not champion_slow)
        more = self._slower.add(slow if slow != champion_slow else None)
        if ratio is not None:
            return (
                f"{ratio[0]} of {ratio[1]} answers took over {bounds.latency_ratio_max:g} times the "
                "champion's time; half may"
            )
        if alone is not None and more is not None:
            return (
                f"{alone[0]} of {alone[1]} answers took over {bounds.latency_ms_max:g} ms where the champion "
                f"took less; {bounds.slow_share_max:.2%} may"
            )
        return ""
