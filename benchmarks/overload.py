"""What a deployed service does when more is asked than it can answer.

    python -m benchmarks.overload digits [--clients 16 64 256 1024] [--seconds 5] [--json FILE]

More and more clients at once ask the Bento of reports/P/deployment.json, each again as soon as it has its
answer, or a second later where it was told to come back. Right after each rush one client asks alone. A
request without an answer, or with another one than 200 or 503 with `Retry-After`, is counted as lost.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from benchmarks.machine import machine
from pipeline import tasks
from pipeline.core import quiet, serve_parameters
from pipeline.core.artifacts import read_json
from pipeline.core.errors import FullcycleError
from pipeline.core.parameters import load
from pipeline.core.paths import Paths
from pipeline.log.prediction_log_url import URL_VARIABLE
from pipeline.service.load_test import load_test
from pipeline.service.service_process import serving

WARM_UP_SECONDS = 2.0
ALONE_SECONDS = 1.0  # of one client, before and right after each rush
ANSWER_SECONDS = 60.0  # after which a request counts as lost


@dataclass
class Rush:
    taken: list[float] = field(default_factory=list)  # seconds to each 200
    refused: list[float] = field(default_factory=list)  # seconds to each 503 with Retry-After
    lost: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("project", help="a project of params.yaml, deployed")
    parser.add_argument("--clients", type=int, nargs="+", default=[16, 64, 256, 1024])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each rush (5)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    quiet.silence()
    paths = Paths(Path.cwd(), arguments.project)
    try:
        rows = measure(paths, arguments.clients, arguments.seconds)
    except FullcycleError as error:
        sys.exit(str(error))
    settings = serve_parameters.read(paths.root, arguments.project).admission.model_dump()
    figures = {"machine": machine(), "project": arguments.project, "admission": settings, "rushes": rows}
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def measure(paths: Paths, clients: list[int], seconds: float) -> list[dict[str, Any]]:
    path = paths.reports / "deployment.json"
    if not path.is_file() or not read_json(path)["bento_tag"]:
        sys.exit(f"{paths.project} has nothing deployed. Run `dvc repro deploy@{paths.project}` first.")
    task = load(paths.root / "params.yaml", paths.project).section("task")
    wire = tasks.module(task, "deploy").load_requests(paths.prepared)
    with tempfile.TemporaryDirectory(prefix="fullcycle-overload-") as folder:
        log = {URL_VARIABLE: f"sqlite:///{folder}/predictions.db"}
        with serving(read_json(path)["bento_tag"], log) as url:
            load_test(url, wire, seconds=WARM_UP_SECONDS, connections=1)
            return [one_rush(url, wire, number, seconds) for number in clients]


def one_rush(url: str, wire: list[bytes], clients: int, seconds: float) -> dict[str, Any]:
    before = load_test(url, wire, seconds=ALONE_SECONDS, connections=1)
    began = time.perf_counter()
    rush = asyncio.run(all_clients(url, wire, clients, began + seconds))
    took = time.perf_counter() - began
    after = load_test(url, wire, seconds=ALONE_SECONDS, connections=1)
    return {
        "clients": clients,
        "taken_per_second": len(rush.taken) / took,
        "taken_p50_ms": quantile_ms(rush.taken, 0.5),
        "taken_p99_ms": quantile_ms(rush.taken, 0.99),
        "refused_per_second": len(rush.refused) / took,
        "refused_p99_ms": quantile_ms(rush.refused, 0.99),
        "lost": rush.lost,
        "alone_before_p50_ms": before["latency_p50_ms"],
        "alone_after_p50_ms": after["latency_p50_ms"],
    }


def quantile_ms(seconds: list[float], share: float) -> float | None:
    return float(np.quantile(seconds, share)) * 1000 if seconds else None


async def all_clients(url: str, wire: list[bytes], clients: int, end: float) -> Rush:
    rush = Rush()
    await asyncio.gather(*(client(url, wire, number, end, rush) for number in range(clients)))
    return rush


async def client(url: str, wire: list[bytes], number: int, end: float, rush: Rush) -> None:
    address = urlsplit(url)
    i = number
    while time.perf_counter() < end:
        try:
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
        except OSError:
            rush.lost += 1
            continue
        try:
            while (began := time.perf_counter()) < end:
                i += 1
                writer.write(wire[i % len(wire)])
                head = await asyncio.wait_for(answer(reader), ANSWER_SECONDS)
                took = time.perf_counter() - began
                if head.startswith(b"HTTP/1.1 200 "):
                    rush.taken.append(took)
                elif head.startswith(b"HTTP/1.1 503 ") and b"\r\nretry-after: " in head:
                    rush.refused.append(took)
                    await asyncio.sleep(1)
                else:
                    rush.lost += 1
        except (OSError, EOFError, TimeoutError):
            rush.lost += 1
        finally:
            writer.close()


async def answer(reader: asyncio.StreamReader) -> bytes:
    """Status and headers, in lower case but for the status line; the body is read."""
    start, _, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
    head = start + b"\r\n" + rest.lower()
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return head


def show(figures: dict[str, Any]) -> None:
    bounds = figures["admission"]
    print(f"{figures['machine']}\n")
    may = f"{bounds['waiting_max']} may wait, each {bounds['wait_ms_max']:.0f} ms at most"
    print(f"{figures['project']}: {may}\n")
    print(
        f"{'clients':>8} {'taken/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'refused/s':>10} {'p99 ms':>8} "
        f"{'lost':>5} {'alone before, after ms':>23}"
    )
    for row in figures["rushes"]:
        print(
            f"{row['clients']:8} {row['taken_per_second']:9.0f} {shown(row['taken_p50_ms'])} "
            f"{shown(row['taken_p99_ms'])} {row['refused_per_second']:10.0f} {shown(row['refused_p99_ms'])} "
            f"{row['lost']:5} {row['alone_before_p50_ms']:15.1f}, {row['alone_after_p50_ms']:.1f}"
        )


def shown(milliseconds: float | None) -> str:
    return f"{'-' if milliseconds is None else format(milliseconds, '.1f'):>8}"


if __name__ == "__main__":
    main()
