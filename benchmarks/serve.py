"""How fast an image service answers, beside the same network behind other servers.

    python -m benchmarks.serve digits [--json FILE] [--seconds 5] [--turns 3]

The contenders are in benchmarks/serving/: this project's Bento, as `deploy` builds it, with validation,
prediction log and metrics; stock BentoML; FastAPI with orjson and ONNX Runtime and nothing else; LitServe.
They are started one at a time, with one worker each, and take turns, so that what else the machine does
meets all of them; figures are medians over the turns. The client is `wrk` where it is installed (Debian:
apt-get install wrk), else a Python one, which takes more of the processor from the service.
LitServe and FastAPI are no dependencies of the project: pip install -c constraints.txt '.[bench]'
"""

import argparse
import importlib.util
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from PIL import Image

from benchmarks import images
from benchmarks.machine import machine
from pipeline.core import model_package, quiet, serve_parameters
from pipeline.core.errors import FullcycleError, ServiceError
from pipeline.core.paths import Paths
from pipeline.core.registry import Version
from pipeline.log.prediction_log_url import URL_VARIABLE
from pipeline.service.load_test import load_test, post_request
from pipeline.service.service_process import HOST, free_port, serving

CONNECTIONS = 16
PICTURES = 64  # different ones that the clients go through; also the length of a batch
WARM_UP_SECONDS = 1.0
READY_SECONDS = 60.0
LUA = Path(__file__).parent / "serving" / "load.lua"
OURS, FASTAPI = "this project", "FastAPI"


@dataclass(frozen=True)
class Contender:
    """command: what starts it, with {package} and {port}; None: a Bento of this project.
    needs: packages of which each must be installed; loads: what it is asked, keys of `requests`."""

    command: tuple[str, ...] | None
    needs: tuple[str, ...] = ()
    loads: tuple[str, ...] = ("pixels",)


def fastapi(kind: str) -> Contender:
    command = ("-m", "benchmarks.serving.bare_fastapi", "{package}", "{port}", kind)
    return Contender(command, ("fastapi", "uvicorn"), ("pixels", "png", "batch"))


CONTENDERS = {
    OURS: Contender(None, (), ("pixels", "png", "batch")),
    FASTAPI: fastapi("inline"),
    "FastAPI, threads": fastapi("threads"),
    "LitServe": Contender(("-m", "benchmarks.serving.litserve_api", "{package}", "{port}"), ("litserve",)),
    "stock BentoML": Contender(
        ("-m", "bentoml", "serve", "benchmarks.serving.stock_bentoml:Stock", "--port", "{port}"), ("bentoml",)
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("project", help="an image project of params.yaml, trained (models/P)")
    parser.add_argument(
        "--root", type=Path, default=Path.cwd(), help="where its data/ and models/ lie (here)"
    )
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME")
    parser.add_argument("--loads", nargs="+", choices=("pixels", "png", "batch"), default=["pixels"])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load (5)")
    parser.add_argument("--turns", type=int, default=3, help="how often each contender is started (3)")
    parser.add_argument(
        "--connections", type=int, default=CONNECTIONS, help=f"clients at once ({CONNECTIONS})"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    quiet.silence()
    paths = Paths(arguments.root, arguments.project)
    images.parameters(Paths(Path.cwd(), arguments.project))
    check_installed(arguments.only)
    try:
        with tempfile.TemporaryDirectory(prefix="fullcycle-serve-") as folder:
            measured = measure(paths, Path(folder), arguments)
    except FullcycleError as error:
        sys.exit(str(error))
    figures = {
        "machine": machine(),
        "client": "wrk" if shutil.which("wrk") else "Python",
        "connections": arguments.connections,
        "seconds": arguments.seconds,
        "turns": arguments.turns,
        "contenders": measured,
    }
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def check_installed(names: list[str]) -> None:
    needed = {package for name in names for package in CONTENDERS[name].needs}
    missing = sorted(package for package in needed if importlib.util.find_spec(package) is None)
    if missing:
        sys.exit(
            f"Not installed: {', '.join(missing)}. Run `pip install -c constraints.txt '.[bench]'`, or leave "
            f"the contender out with --only."
        )


def measure(paths: Paths, scratch: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    package = paths.model
    os.environ["BENTOML_HOME"] = str(scratch)
    bento_tag = build(paths, package)
    wire = requests(paths)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in arguments.only}
    first_answers = {}
    for turn in range(arguments.turns):
        # There and back: what is measured last in one turn is measured first in the next.
        for name in arguments.only if turn % 2 == 0 else reversed(arguments.only):
            contender = CONTENDERS[name]
            began = time.perf_counter()
            with started(contender, bento_tag, package, wire["pixels"][0], scratch) as url:
                figures: dict[str, Any] = {"ready_seconds": time.perf_counter() - began}
                first_answers[name] = ask(url, wire["pixels"][0]).json()["label"]
                for load in (kind for kind in contender.loads if kind in arguments.loads):
                    run(url, wire[load], WARM_UP_SECONDS, arguments.connections, scratch)
                    figures[load] = run(url, wire[load], arguments.seconds, arguments.connections, scratch)
                figures |= memory()
            found[name].append(figures)
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if len(set(first_answers.values())) > 1:
        raise ServiceError(f"The contenders do not agree on the first picture: {first_answers}.")
    return {name: medians(turns) for name, turns in found.items()}


def build(paths: Paths, package: Path) -> str:
    """A Bento of this working tree's code and the package."""
    from pipeline.service import bento
    from pipeline.tasks.image_classification.deploy import SERVICE

    home = Path(__file__).parents[1]
    sha256 = model_package.verify(package)["files"][model_package.NETWORK]
    settings = serve_parameters.read(home, paths.project)
    model_tag = bento.store_model(package, Version(paths.project, "1", sha256))
    return bento.build(home, SERVICE, model_tag, settings)


def requests(paths: Paths) -> dict[str, list[bytes]]:
    """As they go over the wire: one picture as JSON or PNG, or a batch of 64 as JSON."""
    stored = np.load(paths.prepared / "test" / "images.npy", mmap_mode="r")
    pictures = [np.asarray(stored[i, 0]) for i in np.linspace(0, len(stored) - 1, PICTURES).astype(int)]
    as_json = [{"pixels": picture.tolist()} for picture in pictures]
    batch = json.dumps({"items": as_json}).encode()
    return {
        "pixels": [post_request("/predict", "application/json", json.dumps(one).encode()) for one in as_json],
        "png": [post_request("/predict", "image/png", png(picture)) for picture in pictures],
        "batch": [post_request("/predict_batch", "application/json", batch)],
    }


def png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def ask(url: str, request: bytes) -> httpx.Response:
    """The answer to pixels, as they go over the wire."""
    body, headers = request.partition(b"\r\n\r\n")[2], {"content-type": "application/json"}
    return httpx.post(f"{url}/predict", content=body, headers=headers, timeout=5, trust_env=False)


@contextmanager
def started(
    contender: Contender, bento_tag: str, package: Path, question: bytes, scratch: Path
) -> Iterator[str]:
    """The URL of a contender that answers the question; it is gone after the block."""
    if contender.command is None:
        log = scratch / "predictions.db"
        with serving(bento_tag, {URL_VARIABLE: f"sqlite:///{log}"}) as url:
            yield url
        for file in scratch.glob(f"{log.name}*"):
            file.unlink()
        return
    port = free_port()
    command = [part.format(package=package, port=port) for part in contender.command]
    environment = os.environ | {"BENCHMARK_PACKAGE": str(package)}
    with (scratch / "contender.log").open("w+b") as log_file:
        process = subprocess.Popen(
            [sys.executable, *command],
            env=environment,
            stdout=log_file,
            stderr=log_file,
            start_new_session=True,
        )
        try:
            url = f"http://{HOST}:{port}"
            if not ready(url, question, process):
                log_file.seek(0)
                raise ServiceError(
                    f"{' '.join(command)} does not answer:\n{log_file.read().decode()[-2000:]}"
                )
            yield url
        finally:
            family = [
                process.pid,
                *(child.pid for child in psutil.Process(process.pid).children(recursive=True)),
            ]
            process.terminate()
            left = [psutil.Process(pid) for pid in family if psutil.pid_exists(pid)]
            for one in psutil.wait_procs(left, 10)[1]:
                one.kill()


def ready(url: str, question: bytes, process: subprocess.Popen[bytes]) -> bool:
    """Whether it answers before the time is over."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if ask(url, question).status_code == 200:
                return True
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    return False


def run(url: str, wire: list[bytes], seconds: float, connections: int, scratch: Path) -> dict[str, float]:
    """requests_per_second, latency_p50_ms, latency_p99_ms and errors, as the clients see them."""
    if shutil.which("wrk") is None:
        return load_test(url, wire, seconds=seconds, connections=connections) | {"errors": 0}
    file = scratch / "requests"
    file.write_bytes(b"".join(b"%d\n%b" % (len(request), request) for request in wire))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(LUA), url, "--", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServiceError(f"wrk failed: {done.stderr or done.stdout}")
    said = json.loads(done.stdout.splitlines()[-1])
    return {"requests_per_second": said.pop("requests") / said.pop("seconds"), **said}


def memory() -> dict[str, Any]:
    """MiB of all processes of the contender: resident in each, and as the kernel shares pages out among
    them; and whether one of them has torch."""
    family = psutil.Process().children(recursive=True)
    kept = [one.memory_full_info() for one in family]
    return {
        "processes": len(kept),
        "resident_mib": sum(one.rss for one in kept) / 2**20,
        "proportional_mib": sum(one.pss for one in kept) / 2**20,
        "largest_mib": max(one.rss for one in kept) / 2**20,
        "torch": any("libtorch" in file.path for one in family for file in one.memory_maps()),
    }


def medians(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each figure over the turns; whatever is a failure in one of them is one."""
    first = turns[0]
    return {
        name: medians([turn[name] for turn in turns])
        if isinstance(value, dict)
        else any(turn[name] for turn in turns)
        if isinstance(value, bool)
        else sum(turn[name] for turn in turns)
        if name == "errors"
        else statistics.median(turn[name] for turn in turns)
        for name, value in first.items()
    }


def show(figures: dict[str, Any]) -> None:
    print(
        f"{figures['machine']}; {figures['client']}, {figures['connections']} connections, 1 worker, "
        f"median of {figures['turns']} x {figures['seconds']:g} s\n"
    )
    head = f"{'requests/s':>11} {'p50 ms':>8} {'p99 ms':>8} {'errors':>7}"
    for load in ("pixels", "png", "batch"):
        rows = {name: found[load] for name, found in figures["contenders"].items() if load in found}
        if rows:
            print(f"{load:18} {head}")
        for name, row in rows.items():
            print(
                f"{name:18} {row['requests_per_second']:11.0f} {row['latency_p50_ms']:8.2f} "
                f"{row['latency_p99_ms']:8.2f} {row['errors']:7d}"
            )
        print()
    print(f"{'':18} {'ready s':>11} {'resident MiB':>13} {'shared out':>11} {'largest':>8}  torch")
    for name, found in figures["contenders"].items():
        torch = "yes" if found["torch"] else "no"
        print(
            f"{name:18} {found['ready_seconds']:11.2f} {found['resident_mib']:13.0f} "
            f"{found['proportional_mib']:11.0f} {found['largest_mib']:8.0f}  {torch}"
        )


if __name__ == "__main__":
    main()
