"""What all stages share: from `python -m pipeline.STAGE PROJECT` to `run(context)`.

A stage module declares `PARAMS`, the sections of its project that it reads (a test holds dvc.yaml
to them), and `run(context) -> Evidence`. `main` checks the parameters, calls `run`, writes the
evidence, records it in MLflow, and turns every expected failure into one message and an exit code.
"""

import argparse
import math
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from pipeline import tasks
from pipeline.core import environment, processes, quiet
from pipeline.core.artifacts import write_json
from pipeline.core.errors import (
    DiskFull,
    FullcycleError,
    GateFailed,
    Interrupted,
    ParameterError,
    SourceError,
    TrackingError,
    is_disk_full,
)
from pipeline.core.gates import Gate
from pipeline.core.parameters import ProjectParameters, load
from pipeline.core.paths import Paths
from pipeline.core.tracking import PARAM_LENGTH_MAX, StageRun

LAST_STAGE = "review"
PROCESSES = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


@dataclass(frozen=True)
class Evidence:
    """What a stage found.

    metrics: figures for MLflow and the report; gates: requirements held against them;
    summary: one sentence for a person; files: pictures and reports to keep with the MLflow run;
    blocking: a failed gate ends the pass here, because what follows would build on what is broken;
    scratch: a folder that a killed stage would have gone on from; removed when the evidence stands.
    """

    summary: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()
    files: tuple[Path, ...] = ()
    blocking: bool = False
    scratch: Path | None = None

    @property
    def failed(self) -> list[Gate]:
        return [gate for gate in self.gates if not gate.passed]

    @property
    def stops(self) -> bool:
        return self.blocking and bool(self.failed)


@dataclass(frozen=True)
class Context:
    """What a stage works with. `params` holds the sections that the stage declared, no others."""

    stage: str
    paths: Paths
    task: str
    params: Any
    run: StageRun

    @property
    def project(self) -> str:
        return self.paths.project

    def hook(self, name: str | None = None) -> ModuleType:
        """The task's module of this stage's name (or of `name`), where the work is done."""
        return tasks.module(self.task, name or self.stage)


def main(
    run: Callable[[Context], Evidence],
    sections: tuple[str, ...],
    take_part: Callable[[Context], None] | None = None,
) -> None:
    """The entry point of a stage module; ends the process with the exit code.

    take_part: what the other processes of a stage do that runs in several (pipeline/core/processes.py)
    """
    began = process_start()
    quiet.silence()
    stage = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(prog=f"python -m pipeline.{stage}")
    parser.add_argument("project", help="a project of params.yaml")
    paths = Paths(root=Path.cwd(), project=parser.parse_args().project)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        if processes.is_first():
            execute(stage, paths, run, sections, began)
        elif take_part is not None:
            take_part(_context(stage, paths, sections, began)[0])
        else:
            raise ParameterError(
                f"{stage} runs in one process, but one of {', '.join(processes.NUMBERS)} says that this is "
                f"another. Unset them, or start `python -m pipeline.{stage} {paths.project}` once."
            )
    except FullcycleError as error:
        print(f"\n{stage}@{paths.project}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Interrupted as asked:
        print(f"\n{stage}@{paths.project}: {asked}. `dvc repro` goes on from here.", file=sys.stderr)
        sys.exit(asked.exit_code)


def _interrupt(number: int, _: object) -> None:
    raise Interrupted(number)


def execute(
    stage: str,
    paths: Paths,
    run: Callable[[Context], Evidence],
    sections: tuple[str, ...],
    began: float,
) -> Evidence:
    """Runs one stage in this process. began: Unix time in seconds at which the process started."""
    context, parameters = _context(stage, paths, sections, began)
    stage_run = context.run
    startup = time.time() - began
    try:
        evidence = run(context)
        _record(context, evidence, parameters)
        write_json(paths.evidence(stage), _as_json(context, evidence, began, startup))
        if evidence.scratch:
            shutil.rmtree(evidence.scratch)
    except BaseException as error:
        _record_failure(stage_run, error)
        if isinstance(error, FileNotFoundError) and str(paths.root) in str(error):
            raise SourceError(
                f"{error.filename or error} is not there; an earlier stage makes it. Run `dvc repro "
                f"{stage}@{paths.project}`, which runs what is needed first."
            ) from error
        if is_disk_full(error) and not isinstance(error, DiskFull):
            raise DiskFull(
                f"No space left on the disk below {paths.root}: {error}. Nothing half-written was "
                "kept. Free some space, then run `dvc repro` again."
            ) from error
        raise
    print(f"{stage}@{paths.project}: {evidence.summary}")
    for gate in evidence.gates:
        print(f"  {gate}")
    if evidence.stops:
        advice = [f"Revisit {gate.revisit}: {gate.remedy}" for gate in evidence.failed]
        raise GateFailed("\n".join(["a gate fails.", *map(str, evidence.failed), *advice]))
    return evidence


def _context(
    stage: str, paths: Paths, sections: tuple[str, ...], began: float
) -> tuple[Context, ProjectParameters]:
    parameters = load(paths.root / "params.yaml", paths.project)
    shown = SimpleNamespace(**{name: parameters.section(name) for name in sections})
    return Context(stage, paths, parameters.task, shown, StageRun(paths, stage, began)), parameters


def _as_json(context: Context, evidence: Evidence, began: float, startup: float) -> dict[str, Any]:
    usage = [resource.getrusage(who) for who in PROCESSES]
    return {
        "stage": context.stage,
        "summary": evidence.summary,
        "metrics": {name: _finite(value) for name, value in evidence.metrics.items()},
        "gates": [gate.as_json() for gate in evidence.gates],
        "stopped": evidence.stops,
        "params": {name: plain(value) for name, value in vars(context.params).items()},
        "cost": {
            "began": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - began, 2),
            "startup_seconds": round(startup, 2),
            "peak_memory_mib": round(_peak_memory_mib()),
            "cpu_seconds": round(sum(u.ru_utime + u.ru_stime for u in usage), 2),
            "cores": os.cpu_count(),
        },
        "environment": environment.measure(),
    }


def _peak_memory_mib() -> float:
    """The largest resident set of this process or of one that it started; ru_maxrss is in KiB."""
    return max(resource.getrusage(who).ru_maxrss for who in PROCESSES) / 1024


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _record(context: Context, evidence: Evidence, parameters: ProjectParameters) -> None:
    run = context.run
    run.log_params(parameters.model_dump(mode="json", by_alias=True), parent=True)
    run.log_params({name: plain(value) for name, value in vars(context.params).items()})
    gates = {f"gate.{gate.name}": float(gate.passed) for gate in evidence.gates}
    metrics = {k: v for k, v in evidence.metrics.items() if math.isfinite(v)}
    run.log_metrics(metrics | gates)
    run.log_metrics({f"{context.stage}.{k}": v for k, v in (metrics | gates).items()}, parent=True)
    run.log_metrics({"cost.seconds": time.time() - run.started, "cost.peak_memory_mib": _peak_memory_mib()})
    for file in evidence.files:
        run.log_artifact(file)
    run.close(
        "FAILED" if evidence.stops else "FINISHED",
        close_parent=evidence.stops or context.stage == LAST_STAGE,
    )


def plain(value: Any) -> Any:
    """Parameters as plain data."""
    return value.model_dump(mode="json", by_alias=True) if hasattr(value, "model_dump") else value


def _record_failure(run: StageRun, error: BaseException) -> None:
    """The run of a stage that broke is FAILED, one that was interrupted KILLED, with the reason."""
    if isinstance(error, TrackingError) or is_disk_full(error):
        return  # the store itself is what cannot be written
    try:
        run.set_tags({"failure": f"{type(error).__name__}: {error}"[:PARAM_LENGTH_MAX]})
        run.close("KILLED" if isinstance(error, Interrupted) else "FAILED", close_parent=True)
    except TrackingError as unreachable:
        print(f"The failure could not be recorded: {unreachable}", file=sys.stderr)


def process_start() -> float:
    """Unix time in seconds at which this process started (Linux; else now)."""
    try:
        ticks = float(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return time.time()
    return time.time() - (uptime - ticks / os.sysconf("SC_CLK_TCK"))
