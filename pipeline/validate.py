"""Validate: hold the labelled data against its expectations. A broken one stops the run.

Reads   data/P/collected/, data/P/labelled/
Writes  reports/P/validation/ (result.json; docs/index.html, Great Expectations' Data Docs; what the
        task adds, for instance leakage.csv)
Params  plan (licences, least amounts), collect, validate, prepare (how the data will be split)
"""

from pipeline.core import expectations
from pipeline.core.artifacts import write_json, writing_folder
from pipeline.core.gates import Gate
from pipeline.core.stage import Context, Evidence, main

PARAMS = ("plan", "collect", "validate", "prepare")
RESULT = "result.json"


def run(context: Context) -> Evidence:
    paths = context.paths
    with writing_folder(paths.reports / "validation") as folder:
        examination = context.hook().validate(context.params, paths, folder)
        outcomes, rows = expectations.check(context.project, examination.tables, folder / "docs")
        result = {"rows": rows, "expectations": [outcome.as_json() for outcome in outcomes]}
        for findings in examination.findings:
            result |= findings.details
        write_json(folder / RESULT, result)
    broken = [o for o in outcomes if not o.met]
    shown = ", ".join(f"{count:,} rows of {name}" for name, count in rows.items())
    held = f"{len(outcomes) - len(broken)} of {len(outcomes)} expectations hold for {shown}"
    metrics = {
        "expectations": len(outcomes),
        "broken": len(broken),
        **{f"rows.{name}": count for name, count in rows.items()},
    }
    for findings in examination.findings:
        metrics |= findings.metrics
    return Evidence(
        summary="; ".join([held, *(findings.summary for findings in examination.findings)]),
        metrics=metrics,
        gates=(
            Gate("broken_expectations", len(broken), "at most", 0, "data",
                 "; ".join(map(str, broken)) or "none"),
            *(gate for findings in examination.findings for gate in findings.gates),
        ),
        files=tuple(sorted(path for path in (paths.reports / "validation").iterdir() if path.is_file())),
        blocking=True,
    )  # fmt: skip


if __name__ == "__main__":
    main(run, PARAMS)
