"""Prepare: split without leakage, write arrays that load fast.

Reads   data/P/collected/, data/P/labelled/, reports/P/validation/result.json (its gates held)
Writes  data/P/prepared/{train,val,test}/
Params  prepare
"""

from pipeline.core.artifacts import read_json, writing_folder
from pipeline.core.stage import Context, Evidence, main

PARAMS = ("prepare",)


def run(context: Context) -> Evidence:
    paths = context.paths
    with writing_folder(paths.prepared) as folder:
        context.hook().prepare(context.params.prepare, paths.collected, paths.labelled, folder)
        sizes = read_json(folder / "sizes.json")
    return Evidence(
        summary=", ".join(f"{count:,} {split}" for split, count in sizes.items()),
        metrics=sizes,
    )


if __name__ == "__main__":
    main(run, PARAMS)
