"""Label: apply the label policy, audit the labels, queue the doubtful for relabeling.

Reads   data/P/collected/
Writes  data/P/labelled/
Params  collect (classes, image), label
"""

from pipeline.core.artifacts import read_json, writing_folder
from pipeline.core.stage import Context, Evidence, main

PARAMS = ("collect", "label")
AUDIT = "audit.json"


def run(context: Context) -> Evidence:
    with writing_folder(context.paths.labelled) as folder:
        context.hook().label(context.params, context.paths.collected, folder)
        audit = read_json(folder / AUDIT)
    return Evidence(
        summary=f"{audit['doubtful']:,} of {audit['items']:,} labels are doubtful "
        f"({audit['doubtful_share']:.2%}); {audit['queued']:,} queued for relabeling",
        metrics={name: audit[name] for name in ("items", "doubtful", "doubtful_share", "queued")},
        files=tuple(sorted(context.paths.labelled.glob("*.png"))),
    )


if __name__ == "__main__":
    main(run, PARAMS)
