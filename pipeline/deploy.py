"""Deploy: the champion as a Bento, proven to answer as the model does offline, and fast enough.

The Bento is built from the registry, not from models/P: what runs is what was promoted. It is
started on a free port with a prediction log of its own, asked, put under load, and stopped.

Reads   data/P/prepared/, the champion in the MLflow registry, serving/, bentofile.yaml
Writes  reports/P/deployment.json; a model and a Bento in the Bento store
Params  goals, serve, deploy
"""

import tempfile
from dataclasses import asdict
from pathlib import Path

from pipeline.core import bento, registry
from pipeline.core.artifacts import read_json, write_json
from pipeline.core.errors import ModelError
from pipeline.core.gates import Gate
from pipeline.core.load_test import load_test
from pipeline.core.paths import Paths
from pipeline.core.prediction_log_url import URL_VARIABLE
from pipeline.core.service_process import serving
from pipeline.core.stage import Context, Evidence, main

PARAMS = ("goals", "serve", "deploy")


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
        bento_tag = bento.build(paths.root, hook.SERVICE, model_tag, context.params.serve)
        log = {URL_VARIABLE: f"sqlite:///{folder}/predictions.db"}
        with serving(bento_tag, log) as url:
            compared = hook.compare(url, package, paths.prepared, limits)
            load = load_test(
                url,
                hook.load_requests(paths.prepared),
                seconds=limits.load_seconds,
                connections=limits.connections,
            )
    metrics = {**compared, **load}
    write_json(
        paths.reports / "deployment.json",
        {"bento_tag": bento_tag, "model_tag": model_tag, "model": asdict(version), "figures": metrics},
    )
    return Evidence(
        summary=f"{bento_tag} serves version {version.version}: {compared['served_equals_offline']:.2%} of "
        f"{compared['answers']:.0f} answers as offline, {load['requests_per_second']:.0f} requests/s, "
        f"99 of 100 within {load['latency_p99_ms']:.1f} ms",
        metrics=metrics,
        gates=(
            Gate("served_equals_offline", compared["served_equals_offline"], "at least", 1.0, "deploying",
                 "the service prepares its input or runs the network differently; compare the two."),
            Gate("latency_p99", load["latency_p99_ms"], "at most", context.params.goals.latency_p99_ms_max,
                 "deploying", "give the service more cores, or train a smaller network."),
        ),
    )  # fmt: skip


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
    return Evidence(
        summary=f"nothing to deploy; {reason}",
        gates=(Gate("champions", 0, "at least", 1, "deploying" if waits else "training", remedy),),
    )


if __name__ == "__main__":
    main(run, PARAMS)
