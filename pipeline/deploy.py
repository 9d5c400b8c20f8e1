"""Deploy: the champion as a Bento, proven to answer as the model does offline, and fast enough.

The Bento is built from the registry, not from models/P: what runs is what was promoted. It is
started on a free port with a prediction log of its own, asked, put under load, and stopped.

Reads   data/P/prepared/, the champion in the MLflow registry, serving/, bentofile.yaml
Writes  reports/P/deployment.json, reports/P/kubernetes.yaml; a model and a Bento in the Bento store
Params  goals, serve, deploy
"""

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.core import environment, registry
from pipeline.core.artifacts import read_json, write_json
from pipeline.core.errors import ModelError
from pipeline.core.gates import Gate
from pipeline.core.paths import Paths
from pipeline.core.registry import Version
from pipeline.core.source_state import source_state
from pipeline.core.stage import Context, Evidence, main, plain
from pipeline.log.prediction_log_url import URL_VARIABLE
from pipeline.service import bento, kubernetes, load_test
from pipeline.service.service_process import running

PARAMS = ("goals", "serve", "deploy")
FORBIDDEN = "torch"  # a service that loads it needs an image of gigabytes, and seconds more to start


def run(context: Context) -> Evidence:
    paths, hook = context.paths, context.hook()
    limits = context.params.deploy
    version = registry.champion(paths)
    if version is None:
        return _nothing_to_deploy(paths)
    with tempfile.TemporaryDirectory(prefix="fullcycle-deploy-") as folder:
        package = registry.download(paths, version, Path(folder) / "package")
        hook.add_state(package, paths.prepared)
        model_tag = bento.store_model(package, version)
        with ThreadPoolExecutor(1) as beside:  # BentoML builds in a process of its own
            building = beside.submit(bento.build, paths.root, hook.SERVICE, model_tag, context.params.serve)
            proof = hook.proof(package, paths.prepared, limits.samples)
            bento_tag = building.result()
        log = {URL_VARIABLE: f"sqlite:///{folder}/predictions.db"}
        with running(bento_tag, log) as service:
            answers = load_test.ask(service.url, proof.requests, connections=limits.connections)
            load = load_test.load_test(
                service.url,
                hook.load_requests(paths.prepared),
                seconds=limits.load_seconds,
                connections=limits.connections,
            )
            memory_mib, with_torch = service.memory_mib(), service.processes_with(FORBIDDEN)
    figures = {
        **hook.compare(answers, proof, limits.tolerance),
        **load,
        "ready_seconds": service.ready_seconds,
        "memory_mib": memory_mib,
        "processes_with_torch": with_torch,
        "processes_left": service.left,
    }
    write_json(paths.reports / "deployment.json", _receipt(context, version, model_tag, bento_tag, figures))
    kubernetes.write(paths, kubernetes.render(bento_tag, limits.container))
    return Evidence(
        summary=f"{bento_tag} serves version {version.version}: {figures['served_equals_offline']:.2%} of "
        f"{figures['answers']:.0f} answers as offline, {load['requests_per_second']:.0f} requests/s, "
        f"99 of 100 within {load['latency_p99_ms']:.1f} ms; ready after {service.ready_seconds:.1f} s, "
        f"{memory_mib:.0f} MiB",
        metrics=figures,
        gates=_gates(figures, context),
    )


def _gates(figures: dict[str, Any], context: Context) -> tuple[Gate, ...]:
    goals, limits = context.params.goals, context.params.deploy
    return (
        Gate("served_equals_offline", figures["served_equals_offline"], "at least", 1.0, "deploying",
             "the service prepares its input or runs the network differently; compare the two."),
        Gate("latency_p99", figures["latency_p99_ms"], "at most", goals.latency_p99_ms_max, "deploying",
             "give the service more cores, or train a smaller network."),
        Gate("ready_seconds", figures["ready_seconds"], "at most", limits.ready_seconds_max, "deploying",
             "see what the service imports and loads when it starts (python -X importtime)."),
        Gate("memory_mib", figures["memory_mib"], "at most", limits.memory_mib_max, "deploying",
             "see what the service imports and loads; train a smaller network, or keep less state."),
        Gate("processes_with_torch", figures["processes_with_torch"], "at most", 0, "deploying",
             "something that the service imports needs torch: leave it out of the service."),
        Gate("processes_left", figures["processes_left"], "at most", 0, "deploying",
             "the service did not end when it was asked to; they were killed. See what holds them."),
    )  # fmt: skip


def _receipt(
    context: Context, version: Version, model_tag: str, bento_tag: str, figures: dict[str, Any]
) -> dict[str, Any]:
    """What was deployed, from which code, with which settings, and what it was measured to do on what."""
    source = source_state(context.paths.root)
    return {
        "bento_tag": bento_tag,
        "bento_sha256": bento.checksum(bento_tag),
        "model_tag": model_tag,
        "model": asdict(version),
        "code": {"commit": source.commit, "clean": source.clean},
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "serve": plain(context.params.serve),
        "deploy": plain(context.params.deploy),
        "machine": {"processor": environment.processor(), "cores": os.cpu_count()},
        "figures": figures,
    }


def _nothing_to_deploy(paths: Paths) -> Evidence:
    """No model has been promoted yet. That is a result of the pass, for `review` to report."""
    registration = read_json(paths.reports / "registration.json")
    if registration["champion"] is not None:
        raise ModelError(
            f"The registry has no champion of {paths.project}, but version "
            f"{registration['champion']['version']} was registered as such: the registry was wiped or is "
            "another. Run `dvc repro`, which fills it again."
        )
    number = registration["candidate"]["version"]
    waits = registration["outcome"] == "waiting"
    if waits:
        reason = f"version {number} waits for approval: {registration['reason']}"
        remedy = f"`fullcycle promote {paths.project} {number} --why ...`, then `dvc repro`."
    else:
        reason = f"version {number} was refused: {registration['reason']}"
        remedy = "train a model that meets its gates; see register."
    write_json(paths.reports / "deployment.json", {"bento_tag": None, "model_tag": None, "reason": reason})
    kubernetes.write(paths, f"# Nothing to deploy; {reason}\n")
    return Evidence(
        summary=f"nothing to deploy; {reason}",
        gates=(Gate("champions", 0, "at least", 1, "deploying" if waits else "training", remedy),),
    )


if __name__ == "__main__":
    main(run, PARAMS)
