"""`fullcycle trial P`: what the challenger has shown on real requests, and what follows from it.

Evidence comes from the prediction log that the service writes: FULLCYCLE_PREDICTION_LOG, else
predictions/P.db.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipeline import tasks
from pipeline.champion import champions
from pipeline.core import parameters, registry
from pipeline.core.errors import GateFailed, ModelError, ParameterError
from pipeline.core.paths import Paths
from pipeline.core.registry import CHALLENGER, CHAMPION, Version
from pipeline.log import prediction_log_url, trial_log
from pipeline.trial import trial_evidence
from pipeline.trial.trial_evidence import Evidence
from pipeline.trial.trial_quality import Quality

if TYPE_CHECKING:
    from mlflow import MlflowClient

HELP = "what the challenger has shown on real requests; promote it on that, or end its trial"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    does = parser.add_mutually_exclusive_group()
    does.add_argument("--promote", action="store_true", help="make it the champion, if the evidence holds")
    does.add_argument("--withdraw", action="store_true", help="it is the challenger no longer")
    does.add_argument("--resume", action="store_true", help="let a stopped challenger begin anew")
    does.add_argument("--json", action="store_true", help="for scripts")
    parser.add_argument(
        "--why", default="", help="the reason, for the history; --withdraw and --resume need it"
    )


@dataclass(frozen=True)
class Tried:
    challenger: Version
    champion: Version
    evidence: Evidence
    stopped: str | None


def run(client: "MlflowClient", paths: Paths, arguments: argparse.Namespace) -> list[str]:
    """Lines for a person. GateFailed: the evidence does not hold; ModelError: there is nothing to try."""
    challenger, champion = (registry.by_alias(client, paths.project, one) for one in (CHALLENGER, CHAMPION))
    if challenger is None or champion is None:
        missing = "challenger" if champion else "champion"
        raise ModelError(
            f"{paths.project} has no {missing}, so nothing is tried. `fullcycle history {paths.project}` "
            "shows what there was; `dvc repro` registers a new version."
        )
    if arguments.withdraw:
        return _withdraw(client, paths, challenger, arguments.why)
    if arguments.resume:
        return _resume(paths, challenger, arguments.why)
    tried = _look(paths, challenger, champion)
    if arguments.promote:
        return _promote(client, paths, tried, arguments.why)
    if arguments.json:
        told: dict[str, Any] = {
            "challenger": challenger.version,
            "champion": champion.version,
            "stopped": tried.stopped,
            "promotes": not tried.evidence.against,
        }
        return [json.dumps(told | tried.evidence.as_json(), indent=2)]
    return _told(paths, tried)


def _look(paths: Paths, challenger: Version, champion: Version) -> Tried:
    task = parameters.read(paths.root / "params.yaml")[paths.project]["task"]
    params = parameters.load(paths.root / "params.yaml", paths.project)
    settings, limits = params.section("serve").trial, params.section("register")
    hook = tasks.module(task, "trial")
    log_url = prediction_log_url.url(paths)
    standing = trial_log.read_standing(log_url, paths.project, challenger.sha256)
    rows = trial_log.read_trials(log_url, paths.project, challenger.sha256, standing.since)
    beside = [row for row in rows if row["champion_version"] == champion.version]
    within, now = timedelta(hours=settings.feedback_hours), datetime.now(UTC)
    shown = hook.shown(log_url, paths.project, beside[0]["at"], now, within) if beside else {}
    evidence = trial_evidence.judge(beside, shown, hook.SCORING, settings, limits, standing.stopped)
    return Tried(challenger, champion, evidence, standing.stopped)


def _promote(client: "MlflowClient", paths: Paths, tried: Tried, why: str) -> list[str]:
    version = tried.challenger.version
    against = [*tried.evidence.against, *_known_of(client, paths, tried.challenger)]
    if against:
        raise GateFailed(
            f"version {version} is not promoted:\n  " + "\n  ".join(against) + f"\n`fullcycle promote "
            f"{paths.project} {version} --refused --why ...` is for a person who knows more."
        )
    found = f"on the evidence of its trial: {_quality(tried.evidence.quality)}"
    reason = "; ".join(filter(None, (why.strip(), found)))
    champions.promote(client, paths, tried.challenger, tried.champion, reason)
    return [
        f"{paths.project}: version {version} is the champion, {found}.",
        f"  A service that follows the registry answers with it soon; `dvc repro review@{paths.project}` "
        "deploys it.",
    ]


def _known_of(client: "MlflowClient", paths: Paths, challenger: Version) -> Iterator[str]:
    """What speaks against a version beside its trial."""
    if registry.by_alias(client, paths.project, CHALLENGER) != challenger:
        yield "it is no challenger any more: somebody has moved the alias while the evidence was read"
    back = champions.look(client, paths).rolled_back(challenger.sha256)
    if back is not None:
        yield f"{back.who} rolled this model back on {back.at[:10]}: {back.why}"
    if registry.tag(client, challenger, "gates") == "fail":
        yield "it misses goals of its own on the unseen data; its tags gate.* in the registry say which"


def _withdraw(client: "MlflowClient", paths: Paths, challenger: Version, why: str) -> list[str]:
    champions.withdraw(client, paths, challenger, _reason(why, "--withdraw"))
    return [
        f"{paths.project}: version {challenger.version} is the challenger no longer, also if `dvc repro` "
        "makes it again."
    ]


def _resume(paths: Paths, challenger: Version, why: str) -> list[str]:
    log_url = prediction_log_url.url(paths)
    if not trial_log.lift_stops(log_url, paths.project, challenger.sha256, _reason(why, "--resume")):
        raise ModelError(f"version {challenger.version} of {paths.project} is not stopped.")
    return [f"{paths.project}: version {challenger.version} begins anew. What it did before counts no more."]


def _reason(why: str, option: str) -> str:
    if not why.strip():
        raise ParameterError(f"{option} needs --why: who reads it later knows nothing else.")
    return why


def _told(paths: Paths, tried: Tried) -> list[str]:
    found, version = tried.evidence, tried.challenger.version
    lines = [f"{paths.project}: version {version} beside the champion, version {tried.champion.version}"]
    if found.first is None or found.last is None:
        return [
            *lines,
            "  Nothing is logged of a trial. The service tries the challenger where serve.trial.mode is "
            "shadow or canary, and logs it where this command was looking: FULLCYCLE_PREDICTION_LOG, else "
            f"{paths.prediction_log}.",
        ]
    shadow, canary = found.answers["shadow"], found.answers["canary"]
    low, high = found.failed_interval
    lines += [
        f"  from {found.first:%Y-%m-%d %H:%M} to {found.last:%Y-%m-%d %H:%M} UTC: {shadow:,} answers as "
        f"shadow, {canary:,} as canary",
        f"  failed     {found.failed:,} of {shadow + canary:,} [{low:.2%}, {high:.2%}]",
    ]
    if found.times is not None:
        times = found.times
        lines.append(
            f"  time       mean {times.mean:.2f} ms, p99 {times.p99:.2f} ms; the champion on the same "
            f"questions {times.champion_mean:.2f} and {times.champion_p99:.2f} ms; typically "
            f"{times.ratio:.2f} times"
        )
    if found.agreement is not None:
        lines.append(f"  agreement  {found.agreement:.2%}, over {found.compared:,} answers")
    lines.append(f"  feedback   on {found.heard:,} answers; {_quality(found.quality)}")
    if tried.stopped:
        lines.append(
            f"  STOPPED    {tried.stopped}. `fullcycle trial {paths.project} --withdraw --why ...` ends its "
            "trial, --resume begins it anew."
        )
    if found.against:
        return [*lines, "  It would not be promoted:", *(f"    {one}" for one in found.against)]
    return [*lines, f"  It would be promoted: `fullcycle trial {paths.project} --promote`."]


def _quality(quality: Quality) -> str:
    if quality.counted is None or quality.difference is None or quality.interval is None:
        return f"{quality.clients:,} clients, of which it takes {quality.needed:,}"
    low, high = quality.interval
    return (
        f"{quality.challenger:.4f}, the champion {quality.champion:.4f}: {quality.difference:+.4f} "
        f"[{low:+.4f}, {high:+.4f}] on {quality.counted:,} clients ({quality.test}): {quality.outcome}"
    )
