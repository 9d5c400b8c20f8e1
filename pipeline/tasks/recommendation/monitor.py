"""Monitoring a recommender.

The questions of the validation weeks and their answers are the reference. Unseen weeks are replayed in
windows, as they are and degraded in ways in which shops' data does break.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import model_package, pictures
from pipeline.core.gates import Gate
from pipeline.core.parameters import Monitor
from pipeline.core.paths import Paths
from pipeline.core.statistics import wilson_interval
from pipeline.log import prediction_log, prediction_log_url
from pipeline.monitoring import drift
from pipeline.monitoring.production import Production
from pipeline.tasks.recommendation.data import network, properties, ranking
from pipeline.tasks.recommendation.data.best_sellers import BestSellers
from pipeline.tasks.recommendation.data.counts import Questions
from pipeline.tasks.recommendation.data.dataset import read_catalogue, read_split
from pipeline.tasks.recommendation.data.network import RankingNetwork
from pipeline.tasks.recommendation.data.ranking import Wish
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.state import CATALOGUE, SPLITS
from pipeline.tasks.recommendation.learning import examples
from pipeline.testing.evaluation import Evaluation

LIST = 20
BATCH = 128  # questions answered together
WEEK = 7
REFERENCE = 1600  # validation questions, at most; as many unseen ones
DEGRADED = 400  # unseen questions that each degradation is tried on
STALE_DAYS = 56
LATE_DAYS = 60
SHIFT = 1009  # places by which ids are confused
# What is compared: those that every plain question has.
COMPARED = ("customer_baskets", "days_since", "top_score", "bought_share", "popularity")


@dataclass(frozen=True)
class Replayed:
    """Questions of some weeks: profile: property -> float (N,); recall: float (N,) at 20."""

    profile: Mapping[str, np.ndarray]
    recall: np.ndarray

    def __len__(self) -> int:
        return len(self.recall)


Change = Callable[[Questions], Questions]


def _stale(questions: Questions) -> Questions:
    """The feed of purchases has stopped weeks ago."""
    rows = questions.rows
    return replace(questions, rows=rows.chosen(rows.day < questions.day - STALE_DAYS))


def _unknown(questions: Questions) -> Questions:
    """Every second customer is not recognised."""
    rows = questions.rows
    lost = np.arange(len(questions)) % 2 == 1
    customers = np.where(lost, -1, questions.customers)
    return replace(questions, customers=customers, rows=rows.chosen(~lost[rows.question]))


def _late(questions: Questions) -> Questions:
    """The clock of the service is wrong."""
    return replace(questions, day=questions.day + LATE_DAYS)


def _confused(questions: Questions) -> Questions:
    """The ids of the products are not those of the training."""
    rows = questions.rows
    largest = int(rows.product.max()) + 1 if len(rows.product) else 1
    return replace(questions, rows=replace(rows, product=(rows.product + SHIFT) % largest))


def _thinned(questions: Questions) -> Questions:
    """Most baskets are lost on their way."""
    rows = questions.rows
    kept = rows.ordinal % 4 == 0
    return replace(questions, rows=replace(rows, ordinal=rows.ordinal // 4).chosen(kept))


DEGRADATIONS: Mapping[str, Change] = {
    "stale feed": _stale,
    "lost customers": _unknown,
    "wrong clock": _late,
    "confused ids": _confused,
    "lost baskets": _thinned,
}


def monitor(params: Any, paths: Paths, answers: Production, folder: Path) -> Evaluation:
    """Replays unseen weeks, sound and degraded; judges what production saw. Writes detection.png.

    answers: what does so in production
    """
    limits, goals = params.monitor, params.goals
    rng = np.random.default_rng(limits.seed)
    replay = Replay(paths.prepared, answers.package)
    validation, unseen = replay.past.parts[1], replay.past.parts[2]
    reference = replay.weeks(validation.first_day, validation.end_day, REFERENCE, rng)
    sound = replay.weeks(unseen.first_day, unseen.end_day, REFERENCE, rng)
    alarms = _alarms(reference, sound, limits.windows, limits, rng)
    false_alarms = float(np.mean([judged.alarm(limits.alarm_p) for judged in alarms]))
    false_interval = wilson_interval(round(false_alarms * limits.windows), limits.windows)
    degraded: dict[str, dict[str, Any]] = {}
    for name, change in DEGRADATIONS.items():
        made = replay.weeks(unseen.first_day, unseen.end_day, DEGRADED, rng, change)
        judged = _alarms(reference, made, limits.degraded_windows, limits, rng)
        causes = [each.cause for each in judged]
        degraded[name] = {
            "alarm_share": float(np.mean([each.alarm(limits.alarm_p) for each in judged])),
            "cause": max(set(causes), key=causes.count),
            "recall_at_20": float(made.recall.mean()),
        }
    harmful = [found for found in degraded.values() if found["recall_at_20"] < goals.recall_at_20_min]
    replayed = len(harmful) * limits.degraded_windows
    caught = round(sum(found["alarm_share"] for found in harmful) * limits.degraded_windows)
    detection = caught / replayed if replayed else 1.0
    detection_interval = wilson_interval(caught, max(1, replayed))
    production = _production(paths, answers, reference, limits)
    _draw(folder / "detection.png", false_alarms, degraded)
    return Evaluation(
        summary=f"{detection:.0%} of degraded windows noticed, alarms in {false_alarms:.0%} of sound "
        f"ones; production: {production['state']}",
        metrics={
            "detection": detection,
            "false_alarms": false_alarms,
            "sound_recall_at_20": float(sound.recall.mean()),
            "production_alarm": float(production["alarm"]),
        },
        intervals={"false_alarms": false_interval, "detection": detection_interval},
        gates=(
            Gate("drift_detection", detection, "at least", goals.drift_detection_min, "testing",
                 "judge larger windows (monitor.window).", detection_interval),
            Gate("false_alarms", false_alarms, "at most", goals.false_alarms_max, "testing",
                 "lower monitor.alarm_p.", false_interval),
            Gate("production_alarm", float(production["alarm"]), "at most", 0, "data",
                 f"production has moved ({production['state']}); collect what it sees now."),
        ),
        details={
            "sound": {"alarm_share": false_alarms, "recall_at_20": float(sound.recall.mean())},
            "degraded": degraded,
            "production": production,
        },
    )  # fmt: skip


class Replay:
    """Asks the packaged network again what was asked in past weeks."""

    def __init__(self, prepared: Path, package: Path) -> None:
        retrieval = Retrieval(**model_package.verify(package)["retrieval"])
        parts = [read_split(prepared / split) for split in SPLITS]
        catalogue = read_catalogue(prepared / "train" / CATALOGUE)
        self.past = examples.Past(parts, catalogue, retrieval, parts[2].end_day - parts[1].first_day)
        self.network: RankingNetwork = network.load(package, catalogue)

    def weeks(
        self, first: int, end: int, wanted: int, rng: np.random.Generator, change: Change | None = None
    ) -> Replayed:
        """Questions of the Mondays in first <= day < end, about `wanted` altogether."""
        days = range(first, end - WEEK + 1, WEEK)
        pieces = [self._week(day, -(-wanted // len(days)), rng, change) for day in days]
        return Replayed(
            profile={name: np.concatenate([p.profile[name] for p in pieces]) for name in COMPARED},
            recall=np.concatenate([piece.recall for piece in pieces]),
        )

    def _week(self, day: int, wanted: int, rng: np.random.Generator, change: Change | None) -> Replayed:
        targets = examples.some(self.past.next_baskets(day, WEEK), wanted, rng)
        state, ends = self.past.state(day), self.past.histories.ends(day)
        sellers = BestSellers(state.items)
        wish = Wish(LIST, "mixed", np.empty(0, dtype=np.int64))
        nothing = np.empty(0, dtype=np.int64)
        found: list[dict[str, float]] = []
        recall = []
        for start in range(0, len(targets.customers), BATCH):
            customers = targets.customers[start : start + BATCH]
            baskets = targets.products[start : start + BATCH]
            rows = self.past.histories.rows(customers, ends)
            questions = Questions(day, customers, rows, np.full(len(customers), -1), nothing, nothing)
            questions = change(questions) if change else questions
            answered, counted = ranking.ranked(
                state, self.network, self.past.retrieval, sellers, questions, [wish] * len(customers)
            )
            for i, (listed, basket) in enumerate(zip(answered, baskets, strict=True)):
                found.append(
                    properties.of_answer(
                        listed,
                        sellers.share,
                        baskets=float(counted.customer.baskets[i]),
                        since=float(counted.customer.since[i]),
                        basket_products=0,
                    )
                )
                recall.append(float(np.isin(basket, listed.products).mean()))
        profile = {name: np.array([each[name] for each in found]) for name in COMPARED}
        return Replayed(profile, np.array(recall))


def _alarms(
    reference: Replayed, replayed: Replayed, windows: int, limits: Monitor, rng: np.random.Generator
) -> list[drift.Judgement]:
    found = []
    for _ in range(windows):
        rows = rng.choice(len(replayed), min(limits.window, len(replayed)), replace=False)
        window = {name: values[rows] for name, values in replayed.profile.items()}
        found.append(drift.judge(reference.profile, window))
    return found


def _production(paths: Paths, answers: Production, reference: Replayed, limits: Monitor) -> dict[str, Any]:
    """The latest plain questions of the log (mixed lists, no live basket) that it answered, judged against
    the reference."""
    log = prediction_log_url.url(paths)
    rows = prediction_log.read_recommendations(
        log, answers.since, project=paths.project, version=answers.version, last=2 * limits.window
    )
    plain = [r for r in rows if r["mode"] == "mixed" and r["properties"]["basket_products"] == 0]
    plain = plain[-limits.window :]
    if len(plain) < limits.window:
        state = f"{len(plain)} plain answers so far, {limits.window} are judged together"
        return {"alarm": False, "version": answers.version, "answers": len(plain), "state": state}
    window = {name: np.array([row["properties"][name] for row in plain]) for name in COMPARED}
    judged = drift.judge(reference.profile, window)
    alarm = judged.alarm(limits.alarm_p)
    moved = f"{judged.cause} moved by {judged.shift:+.2f} standard deviations"
    told = [bool(row["feedback"]) for row in plain]
    return {
        "alarm": alarm,
        "version": answers.version,
        "answers": len(plain),
        "state": moved if alarm else "as the reference",
        "p": judged.p,
        "answers_with_feedback": float(np.mean(told)),
    }


def _draw(path: Path, false_alarms: float, degraded: dict[str, dict[str, Any]]) -> None:
    captions = ["sound", *(f"{name}\nrecall {found['recall_at_20']:.3f}" for name, found in degraded.items())]
    shares = [false_alarms, *(found["alarm_share"] for found in degraded.values())]
    pictures.bars(captions, shares, "share of windows that raise an alarm", path)
