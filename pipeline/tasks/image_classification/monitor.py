"""Monitoring an image classifier."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import pictures
from pipeline.core.deployed_network import DeployedNetwork
from pipeline.core.gates import Gate
from pipeline.core.parameters import Monitor
from pipeline.core.paths import Paths
from pipeline.core.statistics import wilson_interval
from pipeline.log import prediction_log, prediction_log_url
from pipeline.monitoring import drift
from pipeline.monitoring.production import Production
from pipeline.tasks.image_classification.data.corruptions import CORRUPTIONS, SEVERITIES
from pipeline.tasks.image_classification.data.dataset import Split, read_split
from pipeline.tasks.image_classification.data.pixels import properties
from pipeline.testing.evaluation import Evaluation

DEGRADATIONS = ("noise", "blur", "shift", "rotation", "contrast", "occlusion", "inversion")
DEGRADED_SEVERITY = SEVERITIES[1]
CONFIDENCE = "confidence"


def monitor(params: Any, paths: Paths, answers: Production, folder: Path) -> Evaluation:
    """Replays unseen images, sound and degraded; judges what production saw. Writes detection.png.

    answers: what does so in production
    """
    limits, goals = params.monitor, params.goals
    rng = np.random.default_rng(limits.seed)
    network = DeployedNetwork(answers.package)
    val, test = read_split(paths.prepared / "val"), read_split(paths.prepared / "test")
    reference = _profile(val.pixels, network)
    sound = _replay_sound(reference, test, network, limits, rng)
    degraded = {name: _replay_degraded(name, reference, test, network, limits, rng) for name in DEGRADATIONS}
    alarms = round(sound["alarm_share"] * limits.windows)
    false_interval = wilson_interval(alarms, limits.windows)
    harmful = {name: found for name, found in degraded.items() if found["accuracy"] < goals.accuracy_min}
    replayed = len(harmful) * limits.degraded_windows
    caught = round(sum(found["alarm_share"] for found in harmful.values()) * limits.degraded_windows)
    detection = caught / replayed if replayed else 1.0
    production = _production(paths, answers, reference, limits)
    _draw(folder / "detection.png", sound, degraded)
    return Evaluation(
        summary=f"{detection:.0%} of degraded windows noticed, alarms in {sound['alarm_share']:.0%} of sound "
        f"ones; production: {production['state']}",
        metrics={
            "detection": detection,
            "false_alarms": sound["alarm_share"],
            "estimated_accuracy_error": sound["estimate_error"],
            "production_alarm": float(production["alarm"]),
        },
        intervals={"false_alarms": false_interval, "detection": wilson_interval(caught, max(1, replayed))},
        gates=(
            Gate("drift_detection", detection, "at least", goals.drift_detection_min, "testing",
                 "judge larger windows (monitor.window).", wilson_interval(caught, max(1, replayed))),
            Gate("false_alarms", sound["alarm_share"], "at most", goals.false_alarms_max, "testing",
                 "lower monitor.alarm_p.", false_interval),
            Gate("production_alarm", float(production["alarm"]), "at most", 0, "data",
                 f"production has moved ({production['state']}); collect and label what it sees now."),
        ),
        details={"sound": sound, "degraded": degraded, "production": production},
    )  # fmt: skip


def _profile(pixels: np.ndarray, network: DeployedNetwork) -> dict[str, np.ndarray]:
    """The properties of images and the confidence of the answers, float (N,) each."""
    return properties(pixels) | {CONFIDENCE: network.run(pixels, "probabilities").max(1)}


def _replay_sound(
    reference: drift.Properties,
    test: Split,
    network: DeployedNetwork,
    limits: Monitor,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Windows of unseen images as they are: each alarm is a false one."""
    profile = _profile(test.pixels, network)
    right = network.run(test.pixels, "logits").argmax(1) == test.labels
    alarms, gaps = [], []
    for _ in range(limits.windows):
        rows = rng.choice(len(test), min(limits.window, len(test)), replace=False)
        judged = drift.judge(reference, {name: values[rows] for name, values in profile.items()})
        alarms.append(judged.alarm(limits.alarm_p))
        gaps.append(abs(float(profile[CONFIDENCE][rows].mean()) - float(right[rows].mean())))
    return {"alarm_share": float(np.mean(alarms)), "estimate_error": float(np.mean(gaps))}


def _replay_degraded(
    name: str,
    reference: drift.Properties,
    test: Split,
    network: DeployedNetwork,
    limits: Monitor,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Windows of unseen images with one corruption: how often it is noticed, and as what."""
    alarms, causes, right, confidence = [], [], [], []
    for _ in range(limits.degraded_windows):
        rows = np.sort(rng.choice(len(test), min(limits.window, len(test)), replace=False))
        pixels = CORRUPTIONS[name](test.pixels[rows], DEGRADED_SEVERITY, rng)
        profile = _profile(pixels, network)
        judged = drift.judge(reference, profile)
        alarms.append(judged.alarm(limits.alarm_p))
        causes.append(judged.cause)
        right.append(float((network.run(pixels, "logits").argmax(1) == test.labels[rows]).mean()))
        confidence.append(float(profile[CONFIDENCE].mean()))
    return {
        "alarm_share": float(np.mean(alarms)),
        "cause": max(set(causes), key=causes.count),
        "accuracy": float(np.mean(right)),
        "estimated_accuracy": float(np.mean(confidence)),
    }


def _production(
    paths: Paths, answers: Production, reference: drift.Properties, limits: Monitor
) -> dict[str, Any]:
    """The latest window of its answers in the prediction log, judged against the reference."""
    log = prediction_log_url.url(paths)
    rows = prediction_log.read_predictions(
        log, answers.since, project=paths.project, version=answers.version, last=limits.window
    )
    if len(rows) < limits.window:
        state = f"{len(rows)} answers so far, {limits.window} are judged together"
        return {"alarm": False, "version": answers.version, "answers": len(rows), "state": state}
    window = {
        name: np.array([row[name] if name == CONFIDENCE else row["properties"][name] for row in rows])
        for name in reference
    }
    judged = drift.judge(reference, window)
    alarm = judged.alarm(limits.alarm_p)
    told = [row["feedback"] == row["label"] for row in rows if row["feedback"] is not None]
    state = (
        f"{judged.cause} moved by {judged.shift:+.2f} standard deviations" if alarm else "as the reference"
    )
    return {
        "alarm": alarm,
        "version": answers.version,
        "answers": len(rows),
        "state": state,
        "p": judged.p,
        "estimated_accuracy": float(window[CONFIDENCE].mean()),
        "feedback": len(told),
        "realised_accuracy": float(np.mean(told)) if told else None,
    }


def _draw(path: Path, sound: dict[str, Any], degraded: dict[str, dict[str, Any]]) -> None:
    names = ["sound", *degraded]
    shares = [sound["alarm_share"], *(found["alarm_share"] for found in degraded.values())]
    accuracies = [None, *(found["accuracy"] for found in degraded.values())]
    captions = [n if a is None else f"{n}\naccuracy {a:.2f}" for n, a in zip(names, accuracies, strict=True)]
    pictures.bars(captions, shares, "share of windows that raise an alarm", path)
