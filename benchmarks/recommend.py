"""How fast a recommender answers, alone and served, and what memory it takes.

    python -m benchmarks.recommend retail [--json FILE] [--requests 2000] [--seconds 15]

Everything is measured on the package of the deployed Bento (reports/P/deployment.json), with the
questions of deploy's load test: all modes, known and unknown customers, with and without a live basket.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks import shop
from benchmarks.machine import machine
from pipeline.core import quiet, serve_parameters
from pipeline.core.artifacts import read_json
from pipeline.core.errors import FullcycleError
from pipeline.core.paths import Paths
from pipeline.log.prediction_log_url import URL_VARIABLE
from pipeline.service.load_test import load_test
from pipeline.service.service_process import MARK, serving
from pipeline.tasks.recommendation.data.asking import Ask
from pipeline.tasks.recommendation.deploy import load_requests

WARM_UP = 64  # requests, and
WARM_UP_SECONDS = 1.0  # of load before anything is measured
K = 20  # products of a list in batch
BATCH = 1024  # customers asked at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("project", help="a recommendation project of params.yaml, deployed")
    parser.add_argument("--requests", type=int, default=2000, help="one after another (2000)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of requests over HTTP (15)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    quiet.silence()
    paths = Paths(Path.cwd(), arguments.project)
    shop.parameters(paths.root, arguments.project)
    deployed = deployment(paths)
    try:
        measured = measure(paths, deployed, arguments.requests, arguments.seconds)
    except FullcycleError as error:
        sys.exit(str(error))
    figures = {"machine": machine(), "project": arguments.project, "bento": deployed["bento_tag"]} | measured
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def deployment(paths: Paths) -> dict[str, Any]:
    path = paths.reports / "deployment.json"
    found: dict[str, Any] = read_json(path) if path.is_file() else {"bento_tag": None}
    if found["bento_tag"] is None:
        sys.exit(f"{paths.project} has nothing deployed. Run `dvc repro deploy@{paths.project}` first.")
    return found


def measure(paths: Paths, deployed: dict[str, Any], requests: int, seconds: float) -> dict[str, Any]:
    import bentoml
    from bentoml.exceptions import NotFound

    try:
        package = Path(bentoml.models.get(deployed["model_tag"]).path)
    except NotFound:
        sys.exit(
            f"{deployed['model_tag']} is not in the Bento store. "
            f"Run `dvc repro --force deploy@{paths.project}`."
        )
    wire = load_requests(paths.prepared)
    bodies = [request.partition(b"\r\n\r\n")[2] for request in wire]
    cores = sorted(os.sched_getaffinity(0))
    with pinned({cores[0]}):
        alone = in_a_process(direct, paths.project, package, bodies, requests)
    served = over_http(deployed["bento_tag"], wire, seconds, cores[0])
    batch = in_a_process(all_customers, package)
    return {"direct_1_core": alone, "http_1_core": served, "batch": batch | {"cores": len(cores)}}


@contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """Processes that are started in the block run on these cores alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def in_a_process(work: Callable[..., dict[str, float]], *given: Any) -> dict[str, float]:
    """A fresh one: nothing is loaded, and its memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
        return apart.submit(work, *given).result()


def direct(project: str, package: Path, bodies: list[bytes], requests: int) -> dict[str, float]:
    """One question after another, without HTTP."""
    from pipeline.tasks.recommendation.data.recommender import Recommender
    from serving.recommendation_input import Limits, ask

    began = time.perf_counter()
    recommender = Recommender(package)
    load = time.perf_counter() - began
    limits = Limits.of(serve_parameters.read(Path.cwd(), project).requests)
    asks = [ask(json.loads(body), limits) for body in bodies]
    for i in range(WARM_UP):
        recommender.recommend([asks[i % len(asks)]])
    latencies = []
    for i in range(requests):
        began = time.perf_counter()
        recommender.recommend([asks[i % len(asks)]])
        latencies.append(time.perf_counter() - began)
    return {
        "load_seconds": load,
        **quantiles(latencies),
        "requests": requests,
        "resident_mib": psutil.Process().memory_info().rss / 2**20,
    }


def all_customers(package: Path) -> dict[str, float]:
    """Lists for everybody who has bought something, on all cores."""
    from pipeline.tasks.recommendation.data.recommender import Recommender

    recommender = Recommender(package)
    everybody = recommender.customers(sys.maxsize)
    began = time.perf_counter()
    for start in range(0, len(everybody), BATCH):
        recommender.recommend([Ask(customer, k=K) for customer in everybody[start : start + BATCH]])
    seconds = time.perf_counter() - began
    return {
        "customers": len(everybody),
        "customers_per_second": len(everybody) / seconds,
        "resident_mib": psutil.Process().memory_info().rss / 2**20,
    }


def over_http(bento_tag: str, wire: list[bytes], seconds: float, core: int) -> dict[str, float]:
    """One client on any core; the service, with all its processes, on one."""
    with tempfile.TemporaryDirectory(prefix="fullcycle-recommend-") as folder:
        log = {URL_VARIABLE: f"sqlite:///{folder}/predictions.db"}
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {core})
        began = time.perf_counter()
        try:
            with serving(bento_tag, log) as url:
                ready = time.perf_counter() - began
                os.sched_setaffinity(0, before)
                load_test(url, wire, seconds=WARM_UP_SECONDS, connections=1)
                load = load_test(url, wire, seconds=seconds, connections=1)
                resident = [
                    child.memory_info().rss / 2**20
                    for child in psutil.Process().children(recursive=True)
                    if child.status() != psutil.STATUS_ZOMBIE and MARK in child.environ()
                ]
        finally:
            os.sched_setaffinity(0, before)
    return {
        "ready_seconds": ready,
        **load,
        "resident_mib": sum(resident),
        "resident_mib_of_largest": max(resident),
        "processes": len(resident),
    }


def quantiles(seconds: list[float]) -> dict[str, float]:
    p50, p99 = np.quantile(seconds, [0.5, 0.99]) * 1000
    return {"latency_p50_ms": float(p50), "latency_p99_ms": float(p99)}


def show(figures: dict[str, Any]) -> None:
    alone, served, batch = figures["direct_1_core"], figures["http_1_core"], figures["batch"]
    print(f"{figures['machine']}\n")
    print(f"{'one client, 1 core':20} {'p50 ms':>8} {'p99 ms':>8} {'until ready s':>14} {'resident MiB':>13}")
    for name, one, ready in (
        ("direct", alone, alone["load_seconds"]),
        ("HTTP", served, served["ready_seconds"]),
    ):
        print(
            f"{name:20} {one['latency_p50_ms']:8.2f} {one['latency_p99_ms']:8.2f} {ready:14.2f} "
            f"{one['resident_mib']:13.0f}"
        )
    print(
        f"\nbatch: {batch['customers_per_second']:.0f} customers a second on {batch['cores']} cores "
        f"({batch['customers']:,} customers, {K} products each)"
    )


if __name__ == "__main__":
    main()
