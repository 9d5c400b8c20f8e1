"""Register: a new version in the MLflow registry, promoted only when it has earned it.

The first model is held against its gates alone; any other is compared with the champion, too, both
answering the same unseen items now. Who fails is refused with the reason, and the champion stays.

Reads   data/P/prepared/ (paired test), models/P/, reports/P/evaluation/, the registry; for the model card
        the evidence of all stages before it
Writes  reports/P/registration.json, model_card.md and .html; a version, aliases and their history in the
        MLflow registry
Params  collect (what a champion must know to be compared), register
"""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.champion import champions, promotion, registry_state
from pipeline.champion.promotion import Decision
from pipeline.core import model_package, registry
from pipeline.core.artifacts import read_json, sha256_of_folder, write_json
from pipeline.core.errors import IncompatibleModel
from pipeline.core.gates import Gate
from pipeline.core.registry import CHAMPION, Version
from pipeline.core.source_state import source_state
from pipeline.core.stage import Context, Evidence, main
from pipeline.reporting import model_card

PARAMS = ("collect", "register")
TEST_DATA = "test.sha256"  # tag of a version: the unseen items that it was last evaluated on


def run(context: Context) -> Evidence:
    paths, client = context.paths, context.run.client
    evaluation = read_json(paths.reports / "evaluation" / "result.json")
    notes = [champions.refill(context.run)]
    tags = _tags(context, evaluation)
    candidate = registry.register(context.run, paths.model, tags)
    card = model_card.write(paths, candidate.version, source_state(paths.root))
    registry.describe(client, candidate, model_card.shortened(card, registry.DESCRIPTION_LENGTH_MAX))
    champion = registry.by_alias(client, context.project, CHAMPION)
    alone = (_of_evaluation(context, evaluation), _of_weights(context), *_of_people(context, candidate))
    decision = None
    if champion is not None and champion != candidate:
        decision, note = _compare(context, champion, tags[TEST_DATA])
        notes.append(note)
    gates = (*alone, *(decision.gates if decision else ()))
    holds = all(gate.passed for gate in gates)
    if candidate == champion:
        outcome = "champion"
    elif not holds:
        outcome = "refused"
    elif context.params.register.approval == "required" or champions.is_lost(client, paths):
        outcome = "waiting"
    else:
        outcome = "promoted"
    told = [f"{gate}: {gate.remedy}" for gate in alone if not gate.passed]
    told += [decision.reason if decision else "", *notes]
    reason = "; ".join(filter(None, told)) or "every gate holds"
    if outcome == "promoted":
        champions.promote(client, paths, candidate, champion, reason)
    elif outcome != "champion":
        champions.challenge(client, paths, candidate, outcome, reason)
    registry_state.write(client, paths)
    now = candidate if outcome == "promoted" else champion
    write_json(
        paths.reports / "registration.json",
        {
            "candidate": asdict(candidate),
            "champion": asdict(now) if now else None,
            "promoted": candidate == now and holds,
            "outcome": outcome,
            "reason": reason,
            "comparison": decision.as_json() if decision else None,
        },
    )
    return Evidence(
        summary=_summary(context, candidate, champion, outcome, reason),
        metrics={"version": float(candidate.version), "promoted": float(candidate == now and holds)},
        gates=gates if outcome != "waiting" else (*gates, _of_approval(context, candidate)),
        files=(paths.model_card, paths.model_card.with_suffix(".html")),
    )


def _tags(context: Context, evaluation: dict[str, Any]) -> dict[str, str]:
    state = source_state(context.paths.root)
    description = model_package.verify(context.paths.model)
    gates = evaluation["gates"]
    return {
        "git.commit": state.commit,
        "git.clean": str(state.clean).lower(),
        "params.sha256": state.params,
        "data.sha256": description["data_sha256"],
        TEST_DATA: sha256_of_folder(context.paths.prepared / "test"),
        "gates": "hold" if all(gate["passed"] for gate in gates) else "fail",
        **{f"gate.{gate['name']}": "holds" if gate["passed"] else "fails" for gate in gates},
        **{f"metric.{name}": f"{value:.6g}" for name, value in evaluation["metrics"].items()},
    }


def _of_evaluation(context: Context, evaluation: dict[str, Any]) -> Gate:
    failed = [gate["name"] for gate in evaluation["gates"] if not gate["passed"]]
    return Gate(
        "gates_of_evaluation_failed", len(failed), "at most", 0, "training",
        f"the model does not meet {', '.join(failed)}; see reports/{context.project}/evaluation.",
    )  # fmt: skip


def _of_weights(context: Context) -> Gate:
    return Gate(
        "weights_not_a_number", model_package.not_numbers(context.paths.model), "at most", 0, "training",
        "the network's weights are NaN; train again, with a lower learning rate if it was the training.",
    )  # fmt: skip


def _of_people(context: Context, candidate: Version) -> tuple[Gate, ...]:
    """What a person took back is not promoted again because `dvc repro` runs again."""
    back = champions.look(context.run.client, context.paths).rolled_back(candidate.sha256)
    if back is None:
        return ()
    return (
        Gate(
            "rolled_back_by_a_person", 1, "at most", 0, "training",
            f"{back.who} rolled this model back on {back.at[:10]}: {back.why}. Train another one, or undo "
            f"it: `fullcycle promote {context.project} {candidate.version} --why ...`.",
        ),
    )  # fmt: skip


def _of_approval(context: Context, candidate: Version) -> Gate:
    return Gate(
        "waits_for_approval", 1, "at most", 0, "deploying",
        f"version {candidate.version} is good enough and waits for a person: "
        f"`fullcycle promote {context.project} {candidate.version} --why ...`, then `dvc repro`.",
    )  # fmt: skip


def _compare(context: Context, champion: Version, test_data: str) -> tuple[Decision | None, str]:
    """The decision, and what a reader must know beside it.

    Both networks answer the same unseen items now, so that old figures on other data cannot mislead.
    Without a decision the champion cannot be compared; it could not be deployed again either, and the
    gates of evaluation decide alone.
    """
    with tempfile.TemporaryDirectory() as folder:
        package = registry.download(context.paths, champion, Path(folder) / "champion")
        try:
            old = _scores(context, package)
        except IncompatibleModel as error:
            return None, f"version {champion.version} could not be compared: {error}"
    slices = context.hook("evaluate").slices(context.params, context.paths.prepared)
    new, limits = _scores(context, context.paths.model), context.params.register
    decision = promotion.decide(new, old, slices, limits, champion.version)
    before = registry.tag(context.run.client, champion, TEST_DATA)
    if before in (None, test_data):
        return decision, ""
    return decision, (
        f"the unseen data has changed since version {champion.version} was registered: that one was "
        "evaluated anew on the data of now"
    )


def _scores(context: Context, package: Path) -> np.ndarray:
    """A score that is not a number counts as 0, as a wrong answer does."""
    return np.nan_to_num(context.hook("evaluate").scores(context.params, package, context.paths.prepared))


def _summary(
    context: Context, candidate: Version, champion: Version | None, outcome: str, reason: str
) -> str:
    stays = f"version {champion.version}" if champion else "none"
    return (
        f"version {candidate.version} "
        + {
            "champion": "is the champion",
            "promoted": f"is the champion ({reason})",
            "waiting": f"waits for approval ({reason}); champion stays {stays}",
            "refused": f"is refused ({reason}); champion stays {stays}",
        }[outcome]
    )


if __name__ == "__main__":
    main(run, PARAMS)
