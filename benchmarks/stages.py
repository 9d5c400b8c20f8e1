"""How long each stage takes, and how much of it is start-up.

    python -m benchmarks.stages digits [--json FILE]

Runs every stage of a project once, in order, in the working tree as it is (the stages must have run
before, so that their inputs are there), each as its own process under `-X importtime`. Start-up is
the interpreter and all imports, wherever in the code they stand; work is the rest. Importing under
`-X importtime` costs a little more than without.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.machine import machine
from pipeline.reporting.verdict import PHASES

# `import time: self [us] | cumulative | imported package`, on standard error.
IMPORT = re.compile(r"^import time:\s+(\d+) \|", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("project", help="a project of params.yaml")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    interpreter = seconds_of([sys.executable, "-c", "pass"])[0]
    rows = [measure(stage, arguments.project, interpreter) for stage in PHASES]
    figures = {"machine": machine(), "project": arguments.project, "stages": rows}
    print(f"{figures['machine']}\n")
    print(f"{'stage':10} {'wall s':>8} {'start-up s':>11} {'work s':>8} {'peak MiB':>9}")
    for row in [*rows, total(rows)]:
        print(
            f"{row['stage']:10} {row['wall_seconds']:8.2f} {row['startup_seconds']:11.2f} "
            f"{row['work_seconds']:8.2f} {row['peak_memory_mib']:9.0f}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def measure(stage: str, project: str, interpreter: float) -> dict[str, float | str]:
    command = [sys.executable, "-X", "importtime", "-m", f"pipeline.{stage}", project]
    wall, stderr = seconds_of(command)
    startup = interpreter + sum(int(us) for us in IMPORT.findall(stderr)) / 1e6
    evidence = json.loads(Path(f"reports/{project}/evidence/{stage}.json").read_text())
    return {
        "stage": stage,
        "wall_seconds": round(wall, 2),
        "startup_seconds": round(startup, 2),
        "work_seconds": round(wall - startup, 2),
        "peak_memory_mib": evidence["cost"]["peak_memory_mib"],
    }


def seconds_of(command: list[str]) -> tuple[float, str]:
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
        sys.exit(f"{' '.join(command)} failed:\n" + "\n".join(told[-20:]))
    return seconds, done.stderr


def total(rows: list[dict[str, float | str]]) -> dict[str, float | str]:
    sums = {key: sum(float(row[key]) for row in rows) for key in rows[0] if key.endswith("_seconds")}
    return {"stage": "all", **sums, "peak_memory_mib": max(float(row["peak_memory_mib"]) for row in rows)}


if __name__ == "__main__":
    main()
