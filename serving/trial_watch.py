"""Which challenger is tried beside which champion, and whether it is stopped.

A thread follows the service's state: a new challenger begins where the log says that its trial stands, and
not before the log could say so. While the log cannot be read nothing is tried: it may say that another
process has stopped the challenger. A stop holds in this process at once; the thread has the log know, tries
again until it does, and takes over what other processes and people (`fullcycle trial P --resume`) say there.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from pipeline.core.serve_parameters import Trial as Settings
from serving.application import Model
from serving.http_errors import HttpError
from serving.trial_judge import Judge
from serving.trial_log import TrialLog
from serving.trial_metrics import trial_metrics

logger = logging.getLogger(__name__)

CHECK_SECONDS = 1.0  # between two looks at which challenger there is, and at its stops
CLOSE_TIMEOUT = 2.0  # seconds that shutting down waits for a look
NO_CHALLENGER = "there is no challenger"
NO_LOG = "the prediction log cannot be read, so nobody knows whether the challenger was stopped"

M_co = TypeVar("M_co", bound=Model, covariant=True)
M = TypeVar("M", bound=Model)


class State(Protocol[M_co]):
    @property
    def model(self) -> M_co: ...
    @property
    def challenger(self) -> M_co | None: ...


@dataclass
class Running(Generic[M]):
    """One challenger beside one champion. stopped: why, None if it is not; is_saved: the log knows of the
    stop; timed: answers whose time was measured."""

    champion: M
    challenger: M
    log: TrialLog
    judge: Judge
    stopped: str | None = None
    is_saved: bool = True
    timed: int = 0
    judging: threading.Lock = field(default_factory=threading.Lock)


class Watch(Generic[M]):
    """running: None where nothing is tried; is_blind: the log cannot be read. why_not: why nothing is tried
    then."""

    def __init__(
        self,
        settings: Settings,
        state: State[M],
        differs: Callable[[M, M], str],
        log_url: str,
        project: str,
    ) -> None:
        """differs: says why a champion and a challenger cannot be held against each other, "" if they can."""
        self.running: Running[M] | None = None
        self.is_blind, self.why_not = False, NO_CHALLENGER
        self._settings, self._state, self._differs = settings, state, differs
        self._log_url, self._project = log_url, project
        self._log: TrialLog | None = None
        self._closing, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="trial-watch", daemon=True)
        self._thread.start()

    def judge_answer(self, running: Running[M], error: str | None) -> None:
        """An answer of the challenger more; error: why it failed, None if it did not."""
        with running.judging:
            reason = running.judge.answered(error is not None)
        if reason:
            self._stop(running, f"{reason}; the last: {error}")

    def judge_time(self, running: Running[M], milliseconds: float, champion: float) -> bool:
        """The time of an answer, and the champion's; False where it is not judged, because the model still
        warms up."""
        with running.judging:
            running.timed += 1
            if running.timed <= self._settings.warmup_answers:
                return False
            reason = running.judge.timed(milliseconds, champion)
        if reason:
            self._stop(running, reason)
        return True

    def close(self) -> None:
        self._closing.set()
        self._wake.set()
        self._thread.join(CLOSE_TIMEOUT)
        if self._log is not None:
            self._log.close()

    def _stop(self, running: Running[M], reason: str) -> None:
        with running.judging:
            if running.stopped is not None:
                return
            running.is_saved, running.stopped = False, reason
        version = running.challenger.version
        trial_metrics().stopped.labels(version).set(1)
        logger.error(
            "The trial of version %s of %s is stopped: %s. The champion answers alone; `fullcycle trial %s` "
            "shows what was found.", version, self._project, reason, self._project,
        )  # fmt: skip
        self._wake.set()

    def _watch(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._closing.is_set()  # a stop of the last moment is saved, too
            try:
                self._look()
                self.is_blind = False
            except HttpError:
                self.is_blind, self.why_not = True, NO_LOG
            except Exception:
                logger.exception("The trial could not be looked after.")
            self._wake.wait(0 if is_last else CHECK_SECONDS)
            self._wake.clear()

    def _look(self) -> None:
        running = self.running
        if running is not None and not running.is_saved and running.stopped is not None:
            told = running.challenger
            running.log.stop(told.sha256, told.version, running.stopped)
            running.is_saved = True
        champion, challenger = self._state.model, self._state.challenger
        if challenger is None or challenger.sha256 == champion.sha256:
            self._end()
            self.why_not = NO_CHALLENGER
        elif running is None or running.champion is not champion or running.challenger is not challenger:
            self._end()
            self.running = self._begin(champion, challenger)
        else:
            self._follow(running)

    def _end(self) -> None:
        if self.running is not None:  # nobody need be alarmed about it any longer
            trial_metrics().stopped.labels(self.running.challenger.version).set(0)
        self.running = None

    def _begin(self, champion: M, challenger: M) -> Running[M] | None:
        if why := self._differs(champion, challenger):
            self.why_not = f"version {challenger.version} cannot be held against the champion: {why}"
            return None
        if self._log is None:  # a service that never has a challenger needs no second log
            self._log = TrialLog(self._log_url, self._project, trial_metrics())
        standing = self._log.standing(challenger.sha256)
        judge, reason = self._log.judge(challenger.sha256, standing.since, self._settings)
        running = Running(champion, challenger, self._log, judge, standing.stopped)
        trial_metrics().stopped.labels(challenger.version).set(standing.stopped is not None)
        if reason:
            self._stop(running, reason)
        return running

    def _follow(self, running: Running[M]) -> None:
        """What others did to this trial."""
        standing = running.log.standing(running.challenger.sha256)
        if standing.stopped is not None and running.stopped is None:
            running.stopped = standing.stopped
            trial_metrics().stopped.labels(running.challenger.version).set(1)
        elif standing.stopped is None and running.stopped is not None and running.is_saved:
            self.running = self._begin(running.champion, running.challenger)
