"""How time and memory of each stage grow with the customers of a shop.

    python -m benchmarks.scale retail [--factors 1 4 16] [--stages collect label ...] [--json FILE]

Takes what the project has collected, makes it several times as large (benchmarks/replication.py), and runs
the real stages on it, each as its own process in a temporary folder; the project itself stays as
it is. Catalogue, promotions and coupons do not grow. A growth of 1 means twice the cost for twice the
customers, 2 four times the cost.
"""

import argparse
import json
import math
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks import replication, shop
from benchmarks.machine import machine
from pipeline.core import parameters, quiet
from pipeline.core.paths import Paths
from pipeline.reporting.verdict import PHASES

ROOT = Path(__file__).resolve().parents[1]
STAGES = ["collect", "label", "validate", "prepare", "forecast"]
LINEAR_MAX = 1.15  # of a growth that counts as linear: sorting is a little more, and clocks waver
MESSAGE_LINES = 12


@dataclass(frozen=True)
class Cost:
    """cpu_seconds: of all its threads; other work on the machine changes it least
    failure: what the stage said when it stopped, "" when it did not
    """

    factor: int
    stage: str
    wall_seconds: float
    cpu_seconds: float
    peak_memory_mib: float
    failure: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("project", help="a recommendation project of params.yaml, collected")
    parser.add_argument("--factors", type=int, nargs="+", default=[1, 4, 16], help="times the customers")
    parser.add_argument("--stages", nargs="+", choices=list(PHASES), default=STAGES, metavar="STAGE",
                        help=f"in their order ({' '.join(STAGES)})")  # fmt: skip
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    if min(arguments.factors) < 1:
        parser.error("factors must be 1 or more")
    quiet.silence()
    paths = Paths(Path.cwd(), arguments.project)
    shop.parameters(paths.root, arguments.project)
    if not (paths.collected / "provenance.json").is_file():
        sys.exit(f"{paths.collected} is empty. Run `dvc repro collect@{arguments.project}` first.")
    costs = []
    for factor in sorted(set(arguments.factors)):
        costs += measure(paths, factor, arguments.stages)
    growths = [growth(stage, costs) for stage in arguments.stages]
    figures = {
        "machine": machine(),
        "project": arguments.project,
        "stages": [asdict(cost) for cost in costs],
        "growth": growths,
    }
    print(f"{figures['machine']}\n")
    show(costs, growths)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    if any(cost.failure for cost in costs):
        sys.exit(1)


def measure(paths: Paths, factor: int, stages: Sequence[str]) -> list[Cost]:
    """The stages one after another on the shop `factor` times over."""
    with tempfile.TemporaryDirectory(prefix="fullcycle-scale-") as name:
        folder = Path(name)
        section = parameters.read(paths.root / "params.yaml")[paths.project]
        # In a process of its own: a stage's peak would begin at that of the one that starts it.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
            made = apart.submit(replicate, paths, folder / "raw", factor, section).result()
        (folder / "params.yaml").write_text(yaml.safe_dump({"projects": {paths.project: made}}))
        (folder / "data").mkdir()
        if paths.downloads.is_dir():
            (folder / "data" / "downloads").symlink_to(paths.downloads.resolve())
        costs = []
        for stage in stages:
            costs.append(run(stage, paths.project, folder, factor))
            outcome = "failed" if costs[-1].failure else "done"
            print(f"x{factor} {stage}: {outcome}, {costs[-1].wall_seconds:.1f} s", file=sys.stderr)
        return costs


def replicate(paths: Paths, raw: Path, factor: int, section: dict[str, Any]) -> dict[str, Any]:
    """Writes the tables; the section of params.yaml that reads them."""
    replication.write(paths.collected, raw, factor, section)
    return replication.replicated(section, raw, paths.home)


def run(stage: str, project: str, folder: Path, factor: int) -> Cost:
    """One stage as DVC runs it, with an MLflow store of the folder's own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    log = folder / f"{stage}.log"
    with log.open("wb") as stderr:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", f"pipeline.{stage}", project],
            cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=stderr,
        )  # fmt: skip
        # Should memory run out, it is this process that goes.
        Path(f"/proc/{process.pid}/oom_score_adj").write_text("1000")
        try:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:
                process.kill()
        seconds = time.perf_counter() - began
    return Cost(
        factor=factor,
        stage=stage,
        wall_seconds=round(seconds, 2),
        cpu_seconds=round(usage.ru_utime + usage.ru_stime, 2),
        peak_memory_mib=round(usage.ru_maxrss / 1024),
        failure=_failure(process.returncode, log),
    )


def _failure(code: int, log: Path) -> str:
    if code == 0:
        return ""
    ended = f"ended by signal {-code} (out of memory?)" if code < 0 else f"exit code {code}"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join([ended, *lines[-MESSAGE_LINES:]])


def exponent(small: tuple[float, float], large: tuple[float, float]) -> float:
    """e where cost grows as size to the power of e. small, large: (size, cost), both above 0."""
    return math.log(large[1] / small[1]) / math.log(large[0] / small[0])


def growth(stage: str, costs: Sequence[Cost]) -> dict[str, Any]:
    """Exponents of processor time and memory over all factors, and over the last step alone.

    Whether a stage is linear is said by the last step, in which start-up and what does not grow
    matter least; None where there are fewer than two factors at which the stage held.
    """
    held = [cost for cost in costs if cost.stage == stage and not cost.failure]
    found: dict[str, Any] = {"stage": stage, "linear": None}
    if len(held) < 2:
        return found
    steps = {"overall": (held[0], held[-1]), "last_step": (held[-2], held[-1])}
    for name, (small, large) in steps.items():
        for what in ("cpu_seconds", "peak_memory_mib"):
            pair = [(float(cost.factor), float(getattr(cost, what))) for cost in (small, large)]
            found[f"{what}_{name}"] = round(exponent(*pair), 3)
    lasts = [found["cpu_seconds_last_step"], found["peak_memory_mib_last_step"]]
    return found | {"linear": max(lasts) <= LINEAR_MAX}


def show(costs: Sequence[Cost], growths: Sequence[dict[str, Any]]) -> None:
    print(f"{'stage':10} {'factor':>6} {'wall s':>9} {'cpu s':>9} {'ratio':>7} {'peak MiB':>9} {'ratio':>7}")
    for stage in [one["stage"] for one in growths]:
        rows = [cost for cost in costs if cost.stage == stage]
        for cost in rows:
            print(
                f"{stage:10} {cost.factor:6} {cost.wall_seconds:9.2f} "
                f"{cost.cpu_seconds:9.2f} {cost.cpu_seconds / rows[0].cpu_seconds:7.2f} "
                f"{cost.peak_memory_mib:9.0f} {cost.peak_memory_mib / rows[0].peak_memory_mib:7.2f}"
                f"{'  FAILED' if cost.failure else ''}"
            )
    print(f"\n{'growth':10} {'time':>6} {'memory':>7}   time and memory of the last step")
    for one in growths:
        if one["linear"] is None:
            print(f"{one['stage']:10} fewer than two factors to compare")
            continue
        print(
            f"{one['stage']:10} {one['cpu_seconds_overall']:6.2f} {one['peak_memory_mib_overall']:7.2f}   "
            f"{one['cpu_seconds_last_step']:.2f} {one['peak_memory_mib_last_step']:.2f}: "
            f"{'linear or less' if one['linear'] else 'MORE THAN LINEAR'}"
        )
    for cost in costs:
        if cost.failure:
            print(f"\n{cost.stage} at factor {cost.factor} failed:\n{cost.failure}")


if __name__ == "__main__":
    main()
