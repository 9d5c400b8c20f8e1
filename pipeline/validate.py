"""Validate: hold the labelled data against its expectations. A broken one stops the run.

Reads   data/P/collected/, data/P/labelled/
Writes  reports/P/validation/ (result.json; docs/index.html, Great Expectations' Data Docs)
Params  collect (classes, image), validate
"""

from pipeline.core import expectations
from pipeline.core.artifacts import write_json, writing_folder
from pipeline.core.gates import Gate
from pipeline.core.stage import Context, Evidence, main

PARAMS = ("collect", "validate")
RESULT = "result.json"


def run(context: Context) -> Evidence:
    hook, paths = context.hook(), context.paths
    table = hook.table(paths.collected, paths.labelled, len(context.params.collect.classes))
    with writing_folder(paths.reports / "validation") as folder:
        outcomes = expectations.check(
            name=f"{context.project}-data",
            table=table,
            suite=hook.suite(context.params),
            docs=folder / "docs",
        )
        write_json(folder / RESULT, {"rows": len(table), "expectations": [o.as_json() for o in outcomes]})
    broken = [o for o in outcomes if not o.met]
    return Evidence(
        summary=f"{len(outcomes) - len(broken)} of {len(outcomes)} expectations hold for {len(table):,} rows",
        metrics={"expectations": len(outcomes), "broken": len(broken), "rows": len(table)},
        gates=(
            Gate("broken_expectations", len(broken), "at most", 0, "data",
                 "; ".join(map(str, broken)) or "none"),
        ),
        blocking=True,
    )  # fmt: skip


if __name__ == "__main__":
    main(run, PARAMS)
