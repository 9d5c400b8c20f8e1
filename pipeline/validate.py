"""Validate: hold the labelled data against its expectations. A broken one stops the run.

Reads   data/P/collected/, data/P/labelled/
Writes  reports/P/validation/ (result.json; docs/index.html, Great Expectations' Data Docs)
Params  collect, validate, prepare (how the data will be split)
"""

from pipeline.core import expectations
from pipeline.core.artifacts import write_json, writing_folder
from pipeline.core.gates import Gate
from pipeline.core.stage import Context, Evidence, main

PARAMS = ("collect", "validate", "prepare")
RESULT = "result.json"


def run(context: Context) -> Evidence:
    paths = context.paths
    tables = context.hook().tables(context.params, paths.collected, paths.labelled)
    with writing_folder(paths.reports / "validation") as folder:
        outcomes, rows = expectations.check(context.project, tables, folder / "docs")
        write_json(folder / RESULT, {"rows": rows, "expectations": [o.as_json() for o in outcomes]})
    broken = [o for o in outcomes if not o.met]
    shown = ", ".join(f"{count:,} rows of {name}" for name, count in rows.items())
    return Evidence(
        summary=f"{len(outcomes) - len(broken)} of {len(outcomes)} expectations hold for {shown}",
        metrics={
            "expectations": len(outcomes),
            "broken": len(broken),
            **{f"rows.{name}": count for name, count in rows.items()},
        },
        gates=(
            Gate("broken_expectations", len(broken), "at most", 0, "data",
                 "; ".join(map(str, broken)) or "none"),
        ),
        blocking=True,
    )  # fmt: skip


if __name__ == "__main__":
    main(run, PARAMS)
