"""Swapping the model of a service under load: failed requests, mixed answers, latency, memory.

    python -m benchmarks.swap digits [--json FILE] [--swaps 100] [--requests 10000] [--connections 16]

The trained model (models/P) and another one, the same with other weights, are registered in an MLflow
registry of their own. A Bento follows it; while clients ask without a pause, the alias `champion` is moved
from one to the other, again and again. Every answer is held against what the version that it names said when
nothing moved. The same load without swaps comes first. The project must be trained.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
from mlflow import MlflowClient

from benchmarks.machine import machine
from pipeline import tasks
from pipeline.core import golden_set, model_package, parameters, quiet, registry, serve_parameters, tracking
from pipeline.core.artifacts import read_json
from pipeline.core.errors import FullcycleError
from pipeline.core.paths import Paths
from pipeline.core.registry import CHAMPION, Version
from pipeline.core.serve_parameters import KEPT_VARIABLE, PARAMS, REGISTRY_VARIABLE, Serve
from pipeline.log.prediction_log_url import URL_VARIABLE
from pipeline.service import bento
from pipeline.service.service_process import MARK, serving

OTHER = 1.5  # factor on the weights of the last layer, which makes the other model
SWAP_SECONDS = 60.0  # for one swap, after which it is given up
ANSWER_SECONDS = 30.0  # for one answer, after which it counts as failed
WARM_UP = 1000  # requests before anything is measured
APART_MAX = 1e-3  # between two answers of one version: requests answered together are summed in another order
MODEL = {"name", "version"}


@dataclass(frozen=True)
class Answered:
    """request: its place; status: 0 where no answer came; seconds: from asking to the answer's last byte."""

    request: int
    status: int
    seconds: float
    body: bytes


class Registry:
    """An MLflow registry with versions as `register` makes them: that of MLFLOW_TRACKING_URI, else one in
    the folder."""

    def __init__(self, folder: Path, project: str, params: Path) -> None:
        self.paths = Paths(folder, project)
        shutil.copy(params, folder / PARAMS)
        self.uri = tracking.tracking_uri(self.paths)
        self._run = tracking.StageRun(self.paths, "register", time.time())
        self.client: MlflowClient = self._run.client

    def add(self, package: Path) -> Version:
        return registry.register(self._run, package, {})

    def champion(self, version: Version) -> None:
        self.client.set_registered_model_alias(version.name, CHAMPION, version.version)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("project", help="a project of params.yaml, trained")
    parser.add_argument("--swaps", type=int, default=100, help="moves of the alias (100)")
    parser.add_argument("--requests", type=int, default=10_000, help="answers at least, with swaps (10000)")
    parser.add_argument("--connections", type=int, default=16, help="clients at once (16)")
    parser.add_argument("--look", type=float, default=0.1, help="seconds between looks at the registry (0.1)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    quiet.silence()
    try:
        with tempfile.TemporaryDirectory(prefix="fullcycle-swap-") as folder:
            os.environ |= {"BENTOML_HOME": folder, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
            found = measure(
                Path.cwd(), arguments.project, Path(folder),
                arguments.swaps, arguments.requests, arguments.connections, arguments.look,
            )  # fmt: skip
    except FullcycleError as error:
        sys.exit(str(error))
    figures = {"machine": machine(), "project": arguments.project, **found}
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    if figures["failed"] or figures["mixed"]:
        sys.exit("Requests failed, or were answered by something between two versions.")


def measure(
    root: Path, project: str, folder: Path, swaps: int, requests: int, connections: int, look: float
) -> dict[str, Any]:
    paths = Paths(root, project)
    params = parameters.load(root / PARAMS, project)
    task = tasks.module(params.task, "deploy")
    first, second = two_packages(paths.model, folder)
    for package in (first, second):
        if golden_set.FILE not in read_json(package / model_package.DESCRIPTION)["files"]:
            sys.exit(
                f"{paths.model} has no golden set: it was trained before there were any. Train it again."
            )
    made = Registry(folder, project, root / PARAMS)
    versions = [made.add(first), made.add(second)]
    made.champion(versions[0])
    shipped = shutil.copytree(first, folder / "shipped")
    task.add_state(shipped, paths.prepared)
    settings = looking(serve_parameters.read(root, project), look)
    tag = bento.build(root, task.SERVICE, bento.store_model(shipped, versions[0]), settings)
    wire = task.load_requests(paths.prepared)
    found = under_load(tag, made, versions, wire, swaps, requests, connections, folder)
    return {"look_seconds": look, **found}


def looking(settings: Serve, seconds: float) -> Serve:
    """As shipped, but that it looks at the registry so often."""
    follow = settings.follow.model_copy(update={"enabled": True, "seconds": seconds})
    return settings.model_copy(update={"follow": follow})


def two_packages(model: Path, folder: Path) -> tuple[Path, Path]:
    """Copies of a package, the second with other weights in its last layer, and a golden set that fits."""
    import onnx
    from onnx import numpy_helper

    first, second = (model_package.copy(model, _new(folder / name)) for name in ("first", "second"))
    network = onnx.load(second / model_package.NETWORK)
    weights = [
        tensor
        for tensor in network.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1
    ]
    last = weights[-1]
    last.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(last) * np.float32(OTHER), last.name))
    onnx.save(network, second / model_package.NETWORK)
    description = read_json(second / model_package.DESCRIPTION)
    if golden_set.FILE in description["files"]:
        given, expected = golden_set.read(second)
        golden_set.write(second, given, list(expected))
    kept = {key: value for key, value in description.items() if key not in ("format", "files")}
    more = [name for name in description["files"] if name not in model_package.REQUIRED]
    model_package.describe(second, kept, more)
    return first, second


def under_load(
    tag: str,
    made: Registry,
    versions: list[Version],
    wire: list[bytes],
    swaps: int,
    requests: int,
    connections: int,
    folder: Path,
) -> dict[str, Any]:
    """wire: requests as they go over it."""
    environment = {
        URL_VARIABLE: f"sqlite:///{folder}/predictions.db",
        REGISTRY_VARIABLE: made.uri,
        KEPT_VARIABLE: str(folder / "kept"),
    }
    with serving(tag, environment) as url, _clients() as clients:
        expected = {}
        for version in reversed(versions):
            made.champion(version)
            wait_for(url, version)
            expected[version.version] = dict(enumerate(asyncio.run(_one_by_one(url, wire))))
        clients.ask(url, wire, WARM_UP, connections)
        still = clients.ask(url, wire, requests, connections)
        memory, seconds = [resident_mib()], []
        clients.begin(url, wire, requests, connections)
        for turn in range(swaps):
            # Spread over the requests, so that all of them meet some.
            clients.wait_until(requests * turn // swaps)
            made.champion(versions[(turn + 1) % 2])
            seconds.append(wait_for(url, versions[(turn + 1) % 2]))
            memory.append(resident_mib())
        moving = clients.end()
        told = httpx.get(f"{url}/model", trust_env=False).json()
        counted = re.search(
            r"fullcycle_model_swaps_total.* (\d+)", httpx.get(f"{url}/metrics", trust_env=False).text
        )
        kept = sorted(each.name for each in (folder / "kept" / made.paths.project).glob("v*"))
    return {
        "swaps": swaps,
        "swaps_counted": int(counted.group(1)) if counted else 0,
        "requests": len(moving),
        "connections": connections,
        "failed": sum(one.status != 200 for one in moving),
        "statuses": {str(status): n for status, n in sorted(Counter(one.status for one in moving).items())},
        "mixed": mixed(moving, expected),
        "answers_by_version": versions_of(moving),
        "refused": told["refused"],
        "packages_kept": len(kept),
        "swap_seconds": quantiles(seconds),
        "without_swaps_ms": quantiles([1000 * one.seconds for one in still]),
        "with_swaps_ms": quantiles([1000 * one.seconds for one in moving]),
        "resident_mib": {
            "before": memory[0],
            "after_a_tenth": memory[max(1, len(memory) // 10)],
            "after": memory[-1],
            "most": max(memory),
        },
    }


def wait_for(url: str, version: Version) -> float:
    """Seconds until /model names the version."""
    began = time.perf_counter()
    with httpx.Client(base_url=url, trust_env=False, timeout=SWAP_SECONDS) as client:
        while (found := client.get("/model").json())["version"] != version.version:
            if found["refused"] or time.perf_counter() - began > SWAP_SECONDS:
                sys.exit(f"{url} does not take version {version.version} over: {found}")
            time.sleep(0.01)
    return time.perf_counter() - began


def mixed(answers: list[Answered], expected: Mapping[str, Mapping[int, bytes]]) -> int:
    """Answers that are not what the version that they name says to that request."""
    wrong = 0
    for one in answers:
        if one.status == 200:
            found = json.loads(one.body)
            wanted = json.loads(expected[found["model"]["version"]][one.request])
            wrong += found["model"].keys() != MODEL or not _alike(found, wanted)
    return wrong


def versions_of(answers: list[Answered]) -> dict[str, int]:
    named = (json.loads(one.body)["model"]["version"] for one in answers if one.status == 200)
    return dict(sorted(Counter(named).items()))


def _alike(found: Any, wanted: Any) -> bool:
    if isinstance(found, dict):
        keys = found.keys() - {"prediction_id"}
        return keys == wanted.keys() - {"prediction_id"} and all(_alike(found[k], wanted[k]) for k in keys)
    if isinstance(found, list):
        return len(found) == len(wanted) and all(map(_alike, found, wanted))
    if isinstance(found, float):
        return abs(found - wanted) <= APART_MAX * max(1.0, abs(wanted))
    return bool(found == wanted)


def quantiles(values: list[float]) -> dict[str, float]:
    p50, p99 = np.quantile(values, [0.5, 0.99])
    return {"p50": float(p50), "p99": float(p99), "most": max(values)}


def resident_mib() -> float:
    """Of all processes of the service."""
    return sum(
        child.memory_info().rss / 2**20
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE and MARK in child.environ()
    )


class _Clients:
    """Clients in a process of their own: what else is measured does not slow them."""

    def __init__(self, pool: ProcessPoolExecutor, done: Any, go_on: Any) -> None:
        self._pool, self._done, self._go_on = pool, done, go_on
        self._future: Any = None

    def ask(self, url: str, wire: list[bytes], requests: int, connections: int) -> list[Answered]:
        self.begin(url, wire, requests, connections)
        return self.end()

    def begin(self, url: str, wire: list[bytes], requests: int, connections: int) -> None:
        self._done.value, self._go_on.value = 0, 1
        self._future = self._pool.submit(_ask, url, wire, requests, connections)

    def wait_until(self, requests: int) -> None:
        while self._done.value < requests and not self._future.done():
            time.sleep(0.002)

    def end(self) -> list[Answered]:
        """Once all requests are answered, and not before."""
        self._go_on.value = 0
        found: list[Answered] = self._future.result()
        return found


@contextmanager
def _clients() -> Iterator[_Clients]:
    spawn = multiprocessing.get_context("spawn")
    done, go_on = spawn.Value("l", 0), spawn.Value("b", 1)
    with ProcessPoolExecutor(1, spawn, _share, (done, go_on)) as pool:
        yield _Clients(pool, done, go_on)


_shared: list[Any] = []


def _share(done: Any, go_on: Any) -> None:
    _shared[:] = [done, go_on]


def _ask(url: str, wire: list[bytes], requests: int, connections: int) -> list[Answered]:
    return asyncio.run(_all_clients(url, wire, requests, connections))


async def _all_clients(url: str, wire: list[bytes], requests: int, connections: int) -> list[Answered]:
    """`requests` answers at least, and on until nobody wants more."""
    found: list[Answered] = []
    starts = [len(wire) * i // connections for i in range(connections)]
    await asyncio.gather(*(_client(url, wire, start, requests, found) for start in starts))
    return found


async def _client(url: str, wire: list[bytes], start: int, requests: int, found: list[Answered]) -> None:
    done, go_on = _shared
    place, connection = start, None
    while len(found) < requests or go_on.value:
        began = time.perf_counter()
        try:
            connection = connection or await _connect(url)
            status, body = await _exchange(*connection, wire[place])
        except (OSError, EOFError, TimeoutError) as error:
            connection, status, body = None, 0, repr(error).encode()
        found.append(Answered(place, status, time.perf_counter() - began, body))
        done.value = len(found)
        place = (place + 1) % len(wire)
    if connection:
        connection[1].close()


async def _one_by_one(url: str, wire: list[bytes]) -> list[bytes]:
    connection = await _connect(url)
    answers = [await _exchange(*connection, request) for request in wire]
    connection[1].close()
    if any(status != 200 for status, _ in answers):
        sys.exit(f"{url} refuses what it is asked: {[body for status, body in answers if status != 200][:3]}")
    return [body for _, body in answers]


async def _connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(url)
    return await asyncio.open_connection(address.hostname, address.port)


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, bytes]:
    """Status and body."""
    writer.write(request)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), ANSWER_SECONDS)
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    if length is None:
        raise EOFError("an answer without a length")
    return int(head.split()[1]), await reader.readexactly(int(length.group(1)))


def _new(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def show(figures: Mapping[str, Any]) -> None:
    print(f"{figures['machine']}\n")
    print(
        f"{figures['project']}: {figures['swaps']} swaps under {figures['requests']:,} requests "
        f"on {figures['connections']} connections, a look each {figures['look_seconds']:g} s"
    )
    for name in ("failed", "mixed", "statuses", "answers_by_version", "refused", "packages_kept"):
        print(f"{name.replace('_', ' '):<22}{figures[name]}")
    for name, unit in (("without_swaps_ms", "ms"), ("with_swaps_ms", "ms"), ("swap_seconds", "s")):
        told = ", ".join(f"{key} {value:.4g}" for key, value in figures[name].items())
        print(f"{name.rpartition('_')[0].replace('_', ' '):<22}{told} {unit}")
    memory = ", ".join(
        f"{name.replace('_', ' ')} {value:.1f}" for name, value in figures["resident_mib"].items()
    )
    print(f"{'resident MiB':<22}{memory}")


if __name__ == "__main__":
    main()
