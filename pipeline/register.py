"""Register: a new version in the MLflow registry, promoted only when it has earned it.

Reads   data/P/prepared/ (paired test), models/P/, reports/P/evaluation/; for the model card the evidence of
        all stages before it
Writes  reports/P/registration.json, model_card.md and .html; a version and aliases in the MLflow registry
Params  collect (what a champion must know to be compared), register
"""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.core import model_card, model_package, registry
from pipeline.core.artifacts import read_json, write_json
from pipeline.core.errors import IncompatibleModel
from pipeline.core.gates import Gate
from pipeline.core.registry import CHALLENGER, CHAMPION, PREVIOUS, Version
from pipeline.core.source_state import source_state
from pipeline.core.stage import Context, Evidence, main
from pipeline.core.statistics import paired_difference

PARAMS = ("collect", "register")


def run(context: Context) -> Evidence:
    paths = context.paths
    evaluation = read_json(paths.reports / "evaluation" / "result.json")
    candidate = registry.register(context.run, paths.model, _tags(context, evaluation))
    card = model_card.write(paths, candidate.version, source_state(paths.root))
    registry.describe(
        context.run.client, candidate, model_card.shortened(card, registry.DESCRIPTION_LENGTH_MAX)
    )
    champion = registry.by_alias(context.run.client, context.project, CHAMPION)
    failed = [gate["name"] for gate in evaluation["gates"] if not gate["passed"]]
    gates = [
        Gate("gates_of_evaluation_failed", len(failed), "at most", 0, "training",
             f"the model does not meet {', '.join(failed)}; see reports/{context.project}/evaluation.")
    ]  # fmt: skip
    uncompared = ""
    if champion not in (None, candidate):
        try:
            gates.append(_not_worse(context, candidate, champion))
        except IncompatibleModel as error:
            # It could not be deployed again either; the gates of evaluation decide alone.
            uncompared = f"; version {champion.version} could not be compared: {error}"
    promoted = all(gate.passed for gate in gates)
    failing = "; ".join(str(gate) for gate in gates if not gate.passed)
    reason = (failing or "every gate holds") + uncompared
    if champion != candidate:
        _move_aliases(context, candidate, champion, promoted, reason)
    now = candidate if promoted else champion
    write_json(
        paths.reports / "registration.json",
        {
            "candidate": asdict(candidate),
            "champion": asdict(now) if now else None,
            "promoted": promoted,
            "reason": reason,
        },
    )
    return Evidence(
        summary=f"version {candidate.version} "
        + (
            f"is the champion{uncompared}"
            if promoted
            else f"is refused ({reason}); champion stays {_named(champion)}"
        ),
        metrics={"version": float(candidate.version), "promoted": float(promoted)},
        gates=tuple(gates),
        files=(paths.model_card, paths.model_card.with_suffix(".html")),
    )


def _tags(context: Context, evaluation: dict[str, Any]) -> dict[str, str]:
    state = source_state(context.paths.root)
    description = model_package.verify(context.paths.model)
    return {
        "git.commit": state.commit,
        "git.clean": str(state.clean).lower(),
        "params.sha256": state.params,
        "data.sha256": description["data_sha256"],
        "gates": "hold" if all(gate["passed"] for gate in evaluation["gates"]) else "fail",
        **{f"metric.{name}": f"{value:.6g}" for name, value in evaluation["metrics"].items()},
    }


def _not_worse(context: Context, candidate: Version, champion: Version) -> Gate:
    """Non-inferiority: the lower end of the paired 95 % interval must stay above minus the margin.

    Both networks answer the same unseen items now, so that old figures on other data cannot mislead.
    IncompatibleModel: the champion cannot answer them.
    """
    params = context.params.register
    scores = context.hook("evaluate").scores
    prepared = context.paths.prepared
    with tempfile.TemporaryDirectory() as folder:
        old = scores(
            context.params, registry.download(context.paths, champion, Path(folder) / "champion"), prepared
        )
    new = scores(context.params, context.paths.model, prepared)
    difference, interval = paired_difference(new, old, draws=params.draws, seed=params.seed)
    return Gate(
        f"difference_to_champion_{champion.version}", interval[0], "at least", -params.margin, "training",
        f"version {candidate.version} differs by {difference:+.5f} from the champion; train a better one.",
        interval,
    )  # fmt: skip


def _move_aliases(
    context: Context, candidate: Version, champion: Version | None, promoted: bool, reason: str
) -> None:
    """Promotion moves `champion` and `previous`; a refused candidate is the `challenger`."""
    if not promoted:
        registry.set_alias(context.run.client, candidate, CHALLENGER, reason)
        return
    if champion is not None:
        registry.set_alias(context.run.client, champion, PREVIOUS, f"replaced by version {candidate.version}")
    registry.set_alias(context.run.client, candidate, CHAMPION, reason)


def _named(version: Version | None) -> str:
    return f"version {version.version}" if version else "none"


if __name__ == "__main__":
    main(run, PARAMS)
