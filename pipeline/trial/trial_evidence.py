"""What a trial has shown of a challenger, and whether that is enough to promote it.

Enough is: `answers_min` answers; the shares of failures and of slow answers within `serve.trial.bounds`, with
their whole intervals; the typical time within its bound; feedback; and clients served as well as by the
champion, by the margin of `register:` (trial_quality.py).

Pure: rows in, a verdict out.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np

from pipeline.core.parameters import Register
from pipeline.core.serve_parameters import Bounds, Trial
from pipeline.core.statistics import Interval, wilson_interval
from pipeline.trial import trial_quality
from pipeline.trial.trial_quality import Clients, Quality


@dataclass(frozen=True)
class Shown:
    """What a client was shown. answer: in the words of the trial's rows; truth: what feedback said in time,
    None where nothing is known; heard: whether any feedback came."""

    answer: Any
    truth: Any
    heard: bool


@dataclass(frozen=True)
class Scoring:
    """How a task judges answers. score: of an answer, given the truth, in [0, 1]; agreement: of two answers,
    in [0, 1]; is_paired: whether what is known of the answer that was shown is fair to another one."""

    score: Callable[[Any, Any], float]
    agreement: Callable[[Any, Any], float]
    is_paired: bool


@dataclass(frozen=True)
class Times:
    """Milliseconds of both models on the same questions. ratio: median of the challenger's over the
    champion's; slow: answers that took over the bound where the champion took less."""

    answers: int
    mean: float
    p99: float
    champion_mean: float
    champion_p99: float
    ratio: float
    slow: int
    slow_interval: Interval


@dataclass(frozen=True)
class Evidence:
    """answers: requests by role; failed: of the challenger; agreement: mean, over `compared` answers; heard:
    answers with feedback; against: what speaks against promotion, in words, nothing if it may be."""

    first: datetime | None
    last: datetime | None
    answers: Mapping[str, int]
    failed: int
    failed_interval: Interval
    times: Times | None
    agreement: float | None
    compared: int
    heard: int
    quality: Quality
    against: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        made = asdict(self)
        for name in ("first", "last"):
            made[name] = made[name] and made[name].isoformat()
        return made


class _Gathered:
    """Rows, one after another."""

    def __init__(self, shown: Mapping[str, Shown], scoring: Scoring) -> None:
        self._shown, self._scoring = shown, scoring
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.answers = Counter({"shadow": 0, "canary": 0, "control": 0})
        self.failed = self.heard = 0
        self.times: list[tuple[float, float]] = []
        self.agreements: list[float] = []
        self.paired, self.canary, self.control = Clients(), Clients(), Clients()

    def add(self, row: Mapping[str, Any]) -> None:
        self.first, self.last = self.first or row["at"], row["at"]
        if row["part"] == 0:
            self.answers[row["role"]] += 1
            self.failed += row["error"] is not None
            if row["latency_ms"] is not None and row["champion_ms"] is not None:
                self.times.append((row["latency_ms"], row["champion_ms"]))
        seen = self._shown.get(row["prediction_id"])
        new = row["answer"]
        old = row["champion_answer"] if row["role"] == "canary" else seen and seen.answer
        if new is not None and old is not None:
            self.agreements.append(self._scoring.agreement(new, old))
        if seen is not None and seen.truth is not None:
            self.heard += seen.heard
            self._score(row, seen, new, old)

    def _score(self, row: Mapping[str, Any], seen: Shown, new: Any, old: Any) -> None:
        client, at, score = row["unit"], row["at"], self._scoring.score
        if self._scoring.is_paired:
            if new is not None and old is not None:
                self.paired.add(client, at, score(new, seen.truth), score(old, seen.truth))
        elif row["role"] != "shadow":
            # Where the champion had to answer for the canary, that is how a client of the canary is served.
            group = self.canary if row["role"] == "canary" else self.control
            group.add(client, at, score(seen.answer, seen.truth))


def judge(
    rows: Iterable[Mapping[str, Any]],
    shown: Mapping[str, Shown],
    scoring: Scoring,
    settings: Trial,
    limits: Register,
    stopped: str | None,
) -> Evidence:
    """rows: of trial_log.trials, oldest first, of one challenger beside one champion; shown: prediction id ->
    what the client saw; stopped: why the challenger is, None if it is not."""
    found = _Gathered(shown, scoring)
    for row in rows:
        found.add(row)
    answers = found.answers["shadow"] + found.answers["canary"]
    quality = (
        trial_quality.paired(found.paired, settings.feedback_min, limits)
        if scoring.is_paired
        else trial_quality.groups(found.canary, found.control, settings.feedback_min, limits)
    )
    failed_interval = wilson_interval(found.failed, answers)
    times = _times(found.times, settings.bounds)
    against = (
        *([f"it is stopped: {stopped}"] if stopped else []),
        *_too_little(answers, settings),
        *_out_of_bounds(failed_interval, times, settings.bounds),
        *_not_as_good(quality, found.heard, scoring, limits),
    )
    return Evidence(
        first=found.first,
        last=found.last,
        answers=dict(found.answers),
        failed=found.failed,
        failed_interval=failed_interval,
        times=times,
        agreement=float(np.mean(found.agreements)) if found.agreements else None,
        compared=len(found.agreements),
        heard=found.heard,
        quality=quality,
        against=against,
    )


def _times(pairs: list[tuple[float, float]], bounds: Bounds) -> Times | None:
    if not pairs:
        return None
    new, old = np.array(pairs).T
    slow = int(((new > bounds.latency_ms_max) & (old <= bounds.latency_ms_max)).sum())
    return Times(
        answers=len(pairs),
        mean=float(new.mean()),
        p99=float(np.quantile(new, 0.99)),
        champion_mean=float(old.mean()),
        champion_p99=float(np.quantile(old, 0.99)),
        ratio=float(np.median(new / old)),
        slow=slow,
        slow_interval=wilson_interval(slow, len(pairs)),
    )


def _too_little(answers: int, settings: Trial) -> list[str]:
    if answers >= settings.answers_min:
        return []
    return [f"{answers:,} answers are too few; serve.trial.answers_min asks for {settings.answers_min:,}"]


def _out_of_bounds(failed: Interval, times: Times | None, bounds: Bounds) -> Iterable[str]:
    if failed[1] > bounds.error_share_max:
        yield (
            f"up to {failed[1]:.2%} of its answers may fail; {bounds.error_share_max:.2%} are allowed "
            "(serve.trial.bounds.error_share_max)"
        )
    if times is None:
        yield "its times were not measured"
        return
    if times.ratio > bounds.latency_ratio_max:
        yield (
            f"it takes {times.ratio:.2f} times the champion's time; {bounds.latency_ratio_max:g} times are "
            "allowed (serve.trial.bounds.latency_ratio_max)"
        )
    if times.slow_interval[1] > bounds.slow_share_max:
        yield (
            f"up to {times.slow_interval[1]:.2%} of its answers may take over {bounds.latency_ms_max:g} ms; "
            f"{bounds.slow_share_max:.2%} are allowed (serve.trial.bounds.slow_share_max)"
        )


def _not_as_good(quality: Quality, heard: int, scoring: Scoring, limits: Register) -> Iterable[str]:
    if heard == 0:
        yield "there is no feedback, so nobody knows which model serves clients better"
    if quality.outcome == "too few":
        what = "clients with feedback" if scoring.is_paired else "clients of the canary and of the control"
        yield f"{quality.clients:,} {what} are too few; the first look is at {quality.needed:,}" + (
            "" if scoring.is_paired else ". Only a canary brings them: a shadow's lists are seen by nobody"
        )
    elif quality.outcome == "not shown":
        assert quality.difference is not None and quality.interval is not None and quality.p_worse is not None
        more = "" if quality.needed is None else f"; the next look is at {quality.needed:,}"
        yield (
            f"it could not be shown to be worse by less than register.margin ({limits.margin:g}): "
            f"{quality.difference:+.4f} [{quality.interval[0]:+.4f}, {quality.interval[1]:+.4f}], "
            f"p = {quality.p_worse:.2g} where {quality.level:.2g} is allowed{more}"
        )
