"""A challenger on real requests beside the champion: in silence (shadow), or for a share of clients (canary).

No request fails, and none waits, because of a trial. A shadow is asked by a thread of its own after the
client was answered; when too many wait, the next are left out and counted. A canary that raises, gives no
numbers or takes too long is not waited for: the champion answers in its place. It has failed then, unless the
champion takes as long. A challenger that leaves its bounds (trial_judge.py) gets no more requests from that
moment on, also after a restart (trial_watch.py).

Who gets the canary hangs on the hash of a salt, the challenger and the client's key: the same client gets
the same model as long as the trial lasts, and each trial picks other clients. As many clients more are the
control group. A request without a key is drawn by itself.

Times are compared on the same question: the model that did not answer the client answers the question once
more, in the trial's thread. How the service batches its requests has therefore no part in them. A shadow is
as often the first of the two as the second, which finds caches warm.
"""

import hashlib
import logging
import queue
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from starlette.requests import Request

from pipeline.core.serve_parameters import Trial as Settings
from pipeline.log.trial_log import ERROR_LENGTH_MAX, Role
from serving.application import Model
from serving.trial_log import Tried, rows
from serving.trial_metrics import trial_metrics
from serving.trial_watch import Running, State, Watch

logger = logging.getLogger(__name__)

SESSION_HEADER = "X-Session-Id"
CANARY_THREADS = 4  # questions that a canary answers at once; the champion takes what is beyond
CLOSE_TIMEOUT = 2.0  # seconds that shutting down waits for the question that the thread is at

M = TypeVar("M", bound=Model)
Q = TypeVar("Q")
A = TypeVar("A")
M_contra = TypeVar("M_contra", bound=Model, contravariant=True)
Q_contra = TypeVar("Q_contra", contravariant=True)


class Task(Protocol[M_contra, Q_contra, A]):
    """What a trial must know of a task's models, questions and answers."""

    def differs(self, champion: M_contra, challenger: M_contra) -> str:
        """Why the two do not answer the same questions in the same words; "" where they do."""

    def compute(self, model: M_contra, question: Q_contra) -> A: ...

    def fault(self, model: M_contra, question: Q_contra, answer: A) -> str | None:
        """Why no client could be shown it, for instance because a number is none."""

    def logged(self, model: M_contra, answer: A) -> Sequence[Any]:
        """What the log keeps: one JSON value for each prediction of the request."""


@dataclass(frozen=True)
class Asked(Generic[M, Q, A]):
    """The part that one request has in a trial. unit: 16 hex digits, of the client, or of the request where
    it has no key; tried: the challenger's answer, None while it has none."""

    trial: "Trial[M, Q, A]"
    running: Running[M]
    role: Role
    unit: str
    tried: Tried[A] | None = None

    def answer(self, question: Q) -> "tuple[M, A, Asked[M, Q, A] | None]":
        """Who answers the client, what, and the part that the request has now. May wait for `timeout_ms`."""
        return self.trial.answer(self, question)

    def has_room(self) -> bool:
        """Whether the challenger could answer now; False, and counted, where it is busy."""
        return self.trial.has_room()

    def shown(self, question: Q, ids: Sequence[str], at: datetime) -> None:
        """What the client was shown: ids of the predictions. Never waits."""
        self.trial.shown(self, question, ids, at)


class Trial(Generic[M, Q, A]):
    """Its methods may be called by many threads."""

    def __init__(
        self, settings: Settings, state: State[M], task: Task[M, Q, A], log_url: str, project: str
    ) -> None:
        self._settings, self._state, self._task = settings, state, task
        self._watch = Watch(settings, state, task.differs, log_url, project)
        self._free = threading.Semaphore(CANARY_THREADS)
        self._questions: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._shown: queue.SimpleQueue[_Shown[M, Q, A] | None] = queue.SimpleQueue()
        self._waiting, self._counting = 0, threading.Lock()
        self._closing = threading.Event()
        for number in range(CANARY_THREADS):
            threading.Thread(target=self._canary, name=f"trial-canary-{number}", daemon=True).start()
        self._thread = threading.Thread(target=self._work, name="trial", daemon=True)
        self._thread.start()

    def asked(self, champion: M, key: str | None) -> Asked[M, Q, A] | None:
        """The part of a request that `champion` is to answer; None: it has none. key: of the client."""
        running = self._watch.running
        if (
            running is None
            or self._watch.is_blind
            or running.stopped is not None
            or running.champion is not champion
            or running.challenger is not self._state.challenger
        ):
            return None
        share = self._settings.share
        if self._settings.mode == "shadow":
            drawn = random.random() < share
            return Asked(self, running, "shadow", self._unit(running, key)) if drawn else None
        unit = self._unit(running, key)
        place = int(unit, 16) / (1 << 64)
        if place < share:
            return Asked(self, running, "canary", unit)
        return Asked(self, running, "control", unit) if place >= 1 - share else None

    def answer(self, asked: Asked[M, Q, A], question: Q) -> tuple[M, A, Asked[M, Q, A] | None]:
        """As Asked.answer."""
        running = asked.running
        if asked.role != "canary":
            return running.champion, self._task.compute(running.champion, question), asked
        tried = self._by_canary(running.challenger, question)
        if tried is not None and tried.answer is not None:
            self._judge(asked, tried)
            return running.challenger, tried.answer, replace(asked, tried=tried)
        start = time.perf_counter()
        answer = self._task.compute(running.champion, question)
        if tried is None:
            return running.champion, answer, None
        tried = self._late(tried, _milliseconds(start))
        self._judge(asked, tried)
        return running.champion, answer, replace(asked, tried=tried)

    def has_room(self) -> bool:
        """As Asked.has_room."""
        if self._enters():
            self._free.release()
            return True
        return False

    def shown(self, asked: Asked[M, Q, A], question: Q, ids: Sequence[str], at: datetime) -> None:
        """As Asked.shown."""
        work = _Shown(asked, question, ids, at)
        with self._counting:
            is_full = self._waiting > 0 and self._waiting + len(ids) > self._settings.waiting_max
            if not is_full:
                self._waiting += len(ids)
        if not is_full:
            self._shown.put(work)
            return
        trial_metrics().dropped.labels(asked.role).inc()
        if asked.role != "shadow":  # the canary's clients and their control group alike, at all hours
            self._write(work)

    def describe(self) -> dict[str, Any]:
        """For GET /model. challenger: version, None where none is tried; why: that, or why it was stopped."""
        running = self._watch.running
        told: dict[str, Any] = {"mode": self._settings.mode, "share": self._settings.share}
        if running is not None and running.stopped is not None:
            version, state, why = running.challenger.version, "stopped", running.stopped
        elif running is not None and not self._watch.is_blind:
            version, state, why = running.challenger.version, "running", ""
        else:
            return told | {"challenger": None, "state": "waiting", "why": self._watch.why_not}
        return told | {"challenger": version, "state": state, "why": why}

    def close(self) -> None:
        """What still waits is left out; what was found is written."""
        self._closing.set()
        self._shown.put(None)
        for _ in range(CANARY_THREADS):
            self._questions.put(None)
        self._thread.join(CLOSE_TIMEOUT)
        self._watch.close()

    def _enters(self) -> bool:
        entered = self._free.acquire(blocking=False)
        if not entered:
            trial_metrics().dropped.labels("canary").inc()
        return entered

    def _by_canary(self, challenger: M, question: Q) -> Tried[A] | None:
        """Without an answer and an error where none came in time; None: it is busy, so that the request has
        no part."""
        if not self._enters():
            return None
        answered: Future[Tried[A]] = Future()

        def work() -> None:
            try:
                answered.set_result(self._try(challenger, question))
            finally:
                self._free.release()

        self._questions.put(work)
        limit = self._settings.timeout_ms
        try:
            return answered.result(limit / 1000)
        except TimeoutError:
            return Tried(None, limit, None)

    def _unit(self, running: Running[M], key: str | None) -> str:
        if key is None:
            return secrets.token_hex(8)
        told = f"{self._settings.salt}\0{running.challenger.sha256}\0{key}"
        return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()

    def _try(self, model: M, question: Q) -> Tried[A]:
        start = time.perf_counter()
        answer = error = None
        try:
            answer = self._task.compute(model, question)
            error = self._task.fault(model, question, answer)
        except Exception as raised:  # whatever a challenger does, the client gets an answer
            told = f"{type(raised).__name__}: {raised}"[:ERROR_LENGTH_MAX]
            error = "".join(each if each.isprintable() else " " for each in told)  # any database takes it
        return Tried(None if error else answer, _milliseconds(start), error)

    def _late(self, tried: Tried[A], champion: float) -> Tried[A]:
        """Failed, if it took too long for a question that the champion answers in time. champion:
        milliseconds."""
        limit = self._settings.timeout_ms
        if tried.error is not None or not tried.milliseconds >= limit > champion:
            return tried
        return Tried(None, tried.milliseconds, f"no answer within {limit:g} ms")

    def _judge(self, asked: Asked[M, Q, A], tried: Tried[A]) -> None:
        outcome = "answered" if tried.error is None else "failed"
        trial_metrics().answers.labels(asked.running.challenger.version, asked.role, outcome).inc()
        self._watch.judge_answer(asked.running, tried.error)

    def _canary(self) -> None:
        """A challenger that never returns holds this thread, and no request."""
        while (work := self._questions.get()) is not None:
            work()

    def _work(self) -> None:
        """The thread that asks the model that did not answer the client, and writes what was found."""
        while (work := self._shown.get()) is not None and not self._closing.is_set():
            try:
                self._ask_other(work)
            except Exception:
                logger.exception("What a trial found could not be kept.")
            with self._counting:
                self._waiting -= len(work.ids)

    def _ask_other(self, work: "_Shown[M, Q, A]") -> None:
        asked, running = work.asked, work.asked.running
        tried = asked.tried
        if asked.role == "shadow":
            if running.stopped is not None:
                return
            tried, champion = self._try_both(running, work.question)
            self._judge(asked, tried)
            work = replace(work, asked=replace(asked, tried=tried))
        elif tried is None or tried.answer is None or running.stopped is not None:
            self._write(work)
            return
        else:
            champion = self._try(running.champion, work.question)
        if tried.answer is None or champion.answer is None or running.stopped is not None:
            self._write(work)
            return
        is_timed = self._watch.judge_time(running, tried.milliseconds, champion.milliseconds)
        self._write(work, champion, is_timed)

    def _try_both(self, running: Running[M], question: Q) -> tuple[Tried[A], Tried[A]]:
        """Challenger and champion, whoever was asked first."""
        if random.random() < 0.5:
            tried, champion = self._try(running.challenger, question), self._try(running.champion, question)
        else:
            champion, tried = self._try(running.champion, question), self._try(running.challenger, question)
        return (tried if champion.answer is None else self._late(tried, champion.milliseconds)), champion

    def _write(
        self, work: "_Shown[M, Q, A]", champion: Tried[A] | None = None, is_timed: bool = False
    ) -> None:
        """champion: its answer to the same question, None where it was not asked again."""
        asked, running = work.asked, work.asked.running
        to_canary = champion if asked.role == "canary" else None
        made = rows(
            running.challenger, running.champion.version, asked.role, asked.unit, work.ids, work.at,
            asked.tried, self._logged(running.challenger, asked.tried),
            self._logged(running.champion, to_canary),
            champion.milliseconds if champion and is_timed else None,
        )  # fmt: skip
        for row in made:
            running.log.add(row)

    def _logged(self, model: M, tried: Tried[A] | None) -> Sequence[Any] | None:
        return None if tried is None or tried.answer is None else self._task.logged(model, tried.answer)


@dataclass(frozen=True)
class _Shown(Generic[M, Q, A]):
    asked: Asked[M, Q, A]
    question: Q
    ids: Sequence[str]
    at: datetime


def begin(
    settings: Settings, state: State[M], task: Task[M, Q, A], log_url: str, project: str
) -> Trial[M, Q, A] | None:
    """The trial that a service has; None where it is off."""
    return None if settings.mode == "off" else Trial(settings, state, task, log_url, project)


def client_key(request: Request) -> str | None:
    """What the client calls its session, None where it does not, or calls it nothing."""
    return request.headers.get(SESSION_HEADER) or None


def _milliseconds(start: float) -> float:
    return 1000 * (time.perf_counter() - start)
