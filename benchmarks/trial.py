"""How soon a bad challenger is stopped, how seldom a good one is, and what a trial costs a request.

    python -m benchmarks.trial [--trials N] [--json FILE]

Each row draws answers of a challenger of which the truth is known, lets serving/trial_judge.py judge them
with the shipped settings of `digits` (params.yaml), and counts who is stopped, and after how many answers.
Then the time that a trial takes on the path of an answer, while its own threads do what it left to them.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from pipeline.core import serve_parameters
from pipeline.core.serve_parameters import Trial as Settings
from pipeline.core.statistics import wilson_interval
from serving.prediction_log import new_id
from serving.trial import Trial
from serving.trial_judge import Judge

TRIALS = 200
ANSWERS = 10_000  # of a challenger that nobody stops
CALLS = 20_000  # of which the time is taken
Answer = tuple[bool, float, float]  # failed; milliseconds of the challenger, of the champion


@dataclass(frozen=True)
class Truth:
    """draw: one answer; good: answers before it is so, as the champion's."""

    name: str
    draw: Callable[[random.Random], Answer]
    good: int = 0


def time_of(rng: random.Random, times: float = 1.0) -> float:
    return times * rng.lognormvariate(0.0, 0.5)


def equal(rng: random.Random) -> Answer:
    return False, time_of(rng), time_of(rng)


def failing(share: float) -> Callable[[random.Random], Answer]:
    return lambda rng: (rng.random() < share, time_of(rng), time_of(rng))


def slower(times: float) -> Callable[[random.Random], Answer]:
    return lambda rng: (False, time_of(rng, times), time_of(rng))


def stuck(share: float, champion: float) -> Callable[[random.Random], Answer]:
    """Takes 80 ms in so many cases, the champion in others."""
    return lambda rng: (
        False,
        80.0 if rng.random() < share else time_of(rng),
        80.0 if rng.random() < champion else time_of(rng),
    )


TRUTHS = (
    Truth("equally good", equal),
    Truth("1 % fail, as many as may", failing(0.01)),
    Truth("typically twice as slow, as much as may be", slower(2.0)),
    Truth("5 % take 80 ms, of the champion's, too", stuck(0.05, 0.05)),
    Truth("all fail", failing(1.0)),
    Truth("5 % fail", failing(0.05)),
    Truth("5 % fail, after 10,000 good ones", failing(0.05), good=10_000),
    Truth("typically three times as slow", slower(3.0)),
    Truth("typically five times as slow", slower(5.0)),
    Truth("5 % take 80 ms, none of the champion's", stuck(0.05, 0.0)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=TRIALS, help=f"challengers of each row ({TRIALS})")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    settings = serve_parameters.read(Path.cwd(), "digits").trial
    rows = [judged(truth, settings, arguments.trials) for truth in TRUTHS]
    costs = cost(settings)
    print(machine())
    show(rows, costs)
    if arguments.json:
        figures = {"machine": machine(), "answers": ANSWERS, "truths": rows, "microseconds": costs}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def judged(truth: Truth, settings: Settings, trials: int) -> dict[str, Any]:
    """How many of the challengers are stopped within ANSWERS, and when."""
    rng = random.Random(truth.name)
    found = [stopped_at(truth, settings, rng) for _ in range(trials)]
    stopped = sorted(number for number in found if number is not None)
    return {
        "truth": truth.name,
        "trials": trials,
        "stopped": len(stopped) / trials,
        "stopped_interval": wilson_interval(len(stopped), trials),
        "median": statistics.median(stopped) if stopped else None,
        "of_95_percent": stopped[int(0.95 * (len(stopped) - 1))] if stopped else None,
    }


def stopped_at(truth: Truth, settings: Settings, rng: random.Random) -> int | None:
    judge = Judge(settings)
    for answer in (equal(rng) for _ in range(truth.good)):
        if add(judge, answer):
            return 0
    for number in range(1, ANSWERS + 1):
        if add(judge, truth.draw(rng)):
            return number
    return None


def add(judge: Judge, answer: Answer) -> str:
    failed, milliseconds, champion = answer
    return judge.answered(failed) or ("" if failed else judge.timed(milliseconds, champion))


class Model:
    name = "digits"

    def __init__(self, version: str) -> None:
        self.version, self.sha256 = version, version * 64


class Nothing:
    """A task whose models cost nothing."""

    def differs(self, champion: Model, challenger: Model) -> str:
        return ""

    def compute(self, model: Model, question: int) -> int:
        return question

    def fault(self, model: Model, question: int, answer: int) -> str | None:
        return None

    def logged(self, model: Model, answer: int) -> list[int]:
        return [answer]


class State:
    model, challenger = Model("3"), Model("4")


def cost(settings: Settings) -> dict[str, float]:
    """Microseconds on the path of an answer, median of CALLS."""
    quiet = settings.bounds.model_copy(update={"latency_ratio_max": 1e9, "latency_ms_max": 1e9})
    base = settings.model_copy(update={"bounds": quiet, "waiting_max": 10**9})
    found = {}
    for name, changes in {
        "shadow, not drawn": {"mode": "shadow", "share": 1e-9},
        "shadow, drawn": {"mode": "shadow", "share": 1.0},
        "canary of other clients": {"mode": "canary", "share": 1e-9},
        "canary, control group": {"mode": "canary", "share": 0.5},
    }.items():
        with tempfile.TemporaryDirectory() as folder:
            state = State()
            trial = Trial(
                base.model_copy(update=changes), state, Nothing(), f"sqlite:///{folder}/log.db", "digits"
            )
            while trial.describe()["state"] != "running":
                time.sleep(0.01)
            found[name] = 1e6 * statistics.median(times(trial, state, only_control="control" in name))
            trial.close()
    return found


def times(trial: Trial[Any, Any, Any], state: State, *, only_control: bool) -> Iterator[float]:
    now = datetime.now(UTC)
    ids = [new_id(now)]
    for number in range(CALLS):
        key = f"client {number}"
        start = time.perf_counter()
        asked = trial.asked(state.model, key)
        if only_control and (asked is None or asked.role != "control"):
            continue
        if asked is not None:
            asked.shown(number, ids, now)
        yield time.perf_counter() - start


def show(rows: list[dict[str, Any]], costs: dict[str, float]) -> None:
    print(f"\n{'truth':46} {'stopped':>8} {'95 % interval':>18} {'median':>8} {'95 % by':>8}")
    for row in rows:
        low, high = row["stopped_interval"]
        when = [f"{row[name]:8,.0f}" if row[name] else f"{'':8}" for name in ("median", "of_95_percent")]
        print(f"{row['truth']:46} {row['stopped']:8.1%} {low:8.1%} to {high:6.1%} {' '.join(when)}")
    print(f"\n{'on the path of an answer':46} {'microseconds':>12}")
    for name, microseconds in costs.items():
        print(f"{name:46} {microseconds:12.1f}")


if __name__ == "__main__":
    main()
