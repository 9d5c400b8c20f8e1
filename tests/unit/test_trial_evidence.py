"""What a trial's rows amount to: enough for a promotion, or which reason against it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from pipeline.core import parameters
from pipeline.core.parameters import Register
from pipeline.core.serve_parameters import Trial
from pipeline.core.statistics import wilson_interval
from pipeline.tasks.image_classification.trial import SCORING as IMAGES
from pipeline.tasks.recommendation.trial import SCORING as LISTS
from pipeline.trial import trial_quality
from pipeline.trial.trial_evidence import Evidence, Shown, judge
from pipeline.trial.trial_quality import Clients
from tests.imports import ROOT

START = datetime(2026, 1, 1, tzinfo=UTC)
SHIPPED = parameters.load(ROOT / "params.yaml", "digits")
SETTINGS: Trial = SHIPPED.section("serve").trial.model_copy(update={"answers_min": 500, "feedback_min": 200})
LIMITS: Register = SHIPPED.section("register").model_copy(update={"margin": 0.03})


def row(number: int, role: str = "shadow", **changes: Any) -> dict[str, Any]:
    return {
        "at": START + timedelta(seconds=number),
        "role": role,
        "prediction_id": str(number),
        "part": 0,
        "unit": str(number),
        "answer": {"label": "7"},
        "champion_answer": {"label": "7"} if role == "canary" else None,
        "latency_ms": 1.0,
        "champion_ms": 1.0,
        "error": None,
    } | changes


def seen(label: str = "7", truth: Any = "7") -> Shown:
    return Shown({"label": label}, truth, truth is not None)


def found(rows: list[dict[str, Any]], shown: dict[str, Shown], **more: Any) -> Evidence:
    return judge(rows, shown, IMAGES, SETTINGS, LIMITS, **({"stopped": None} | more))


def test_as_good_on_enough_answers_is_promoted() -> None:
    rows = [row(i) for i in range(1000)]
    evidence = found(rows, {str(i): seen() for i in range(1000)})
    assert evidence.against == ()
    assert evidence.quality.outcome == "not worse" and evidence.quality.counted == 800
    assert (evidence.agreement, evidence.heard, evidence.failed) == (1.0, 1000, 0)


def test_a_better_one_is_called_better() -> None:
    rows = [row(i) for i in range(800)]
    wrong = {str(i): seen("1" if i % 10 == 0 else "7") for i in range(800)}
    evidence = found(rows, wrong)
    assert evidence.against == () and evidence.quality.outcome == "better"
    assert evidence.quality.difference == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("rows", "shown", "told"),
    [
        # Better by chance: three more right of a few.
        (
            [row(i) for i in range(40)],
            {str(i): seen("1" if i < 3 else "7") for i in range(40)},
            ["40 answers are too few", "40 clients with feedback are too few; the first look is at 200"],
        ),
        # Better by 1 %, but so often different that as much could be chance.
        (
            [row(i, answer={"label": "7" if i % 5 else "1"}) for i in range(600)],
            {str(i): seen("1" if i % 5 == 1 or i % 100 == 2 else "7") for i in range(600)},
            ["could not be shown to be worse by less than register.margin (0.03)", "the next look is at 800"],
        ),
        ([row(i) for i in range(600)], {}, ["there is no feedback", "0 clients with feedback are too few"]),
        (
            [row(i, error="broken", answer=None) if i % 50 == 0 else row(i) for i in range(1000)],
            {str(i): seen() for i in range(1000)},
            ["of its answers may fail; 1.00% are allowed"],
        ),
        (
            [row(i, latency_ms=3.0) for i in range(1000)],
            {str(i): seen() for i in range(1000)},
            ["it takes 3.00 times the champion's time; 2 times are allowed"],
        ),
        (
            [row(i, latency_ms=80.0 if i % 50 == 0 else 1.0) for i in range(1000)],
            {str(i): seen() for i in range(1000)},
            ["of its answers may take over 50 ms; 1.00% are allowed"],
        ),
        (
            [row(i, latency_ms=None) for i in range(1000)],
            {str(i): seen() for i in range(1000)},
            ["its times were not measured"],
        ),
    ],
)
def test_what_is_not_shown_is_refused_with_the_reason(
    rows: list[dict[str, Any]], shown: dict[str, Shown], told: list[str]
) -> None:
    against = "\n".join(found(rows, shown).against)
    assert all(words in against for words in told), against


def test_a_stopped_one_is_refused() -> None:
    rows = [row(i) for i in range(1000)]
    evidence = found(rows, {str(i): seen() for i in range(1000)}, stopped="3 of 3 answers failed")
    assert evidence.against == ("it is stopped: 3 of 3 answers failed",)


def test_one_eager_client_counts_as_one() -> None:
    rows = [row(i, unit="eager" if i % 2 else str(i)) for i in range(1000)]
    assert found(rows, {str(i): seen() for i in range(1000)}).quality.clients == 501


def test_nobody_can_want_a_list_that_he_was_not_shown() -> None:
    listed = {"items": [1, 2]}
    rows = [row(i, answer=listed) for i in range(1000)]
    shown = {str(i): Shown(listed, frozenset({"cart"}), True) for i in range(1000)}
    evidence = judge(rows, shown, LISTS, SETTINGS, LIMITS, None)
    assert "Only a canary brings them" in "\n".join(evidence.against)


def lists(rng: np.random.Generator, wanted: dict[str, float]) -> Iterator[tuple[dict[str, Any], Shown]]:
    for i in range(2000):
        role = ("canary", "control")[i % 2]
        answer = {"items": [1, 2, 3]}
        did = frozenset({"purchase"} if rng.random() < wanted[role] else {"view"})
        champion = {"items": [1, 2, 4]} if role == "canary" else None
        ours = answer if role == "canary" else None
        yield row(i, role, answer=ours, champion_answer=champion), Shown(answer, did, True)


@pytest.mark.parametrize(("canary", "outcome"), [(0.5, "better"), (0.2, "not shown")])
def test_lists_are_judged_by_what_customers_of_both_groups_did(canary: float, outcome: str) -> None:
    made = list(lists(np.random.default_rng(1), {"canary": canary, "control": 0.3}))
    shown = {row_["prediction_id"]: seen_ for row_, seen_ in made}
    evidence = judge([row_ for row_, _ in made], shown, LISTS, SETTINGS, LIMITS, None)
    assert evidence.quality.outcome == outcome
    assert evidence.agreement == pytest.approx(2 / 3)
    assert evidence.answers == {"shadow": 0, "canary": 1000, "control": 1000}


@pytest.mark.parametrize("kind", ["paired", "groups"])
def test_who_looks_again_and_again_is_seldom_wrong(kind: str) -> None:
    """Challengers that are worse by just the margin; a person looks at every size until he may promote."""
    rng, promoted, trials = np.random.default_rng(3), 0, 60
    for _ in range(trials):
        new, old = Clients(), Clients()
        for i in range(1600):
            at = START + timedelta(seconds=i)
            if kind == "paired":
                # 5 % right alone, 8 % wrong alone: worse by 0.03.
                drawn = rng.random()
                new.add(str(i), at, float(drawn < 0.92), float(drawn >= 0.05))
            else:
                new.add(str(i), at, float(rng.random() < 0.87))
                old.add(str(i), at, float(rng.random() < 0.90))
        for size in (200, 400, 800, 1600):
            part, other = Clients(), Clients()
            for whole, cut in ((new, part), (old, other)):
                for client, at, scores in whole._scores[:size]:
                    cut.add(client, at, *scores)
            looked = (
                trial_quality.paired(part, 200, LIMITS)
                if kind == "paired"
                else trial_quality.groups(part, other, 200, LIMITS)
            )
            if looked.outcome in ("better", "not worse"):
                promoted += 1
                break
    assert wilson_interval(promoted, trials)[0] <= 0.025


def test_between_two_looks_nothing_changes() -> None:
    clients = Clients()
    outcomes = []
    for i in range(390):
        clients.add(str(i), START + timedelta(seconds=i), 1.0, float(i % 7 > 0))
        outcomes.append(trial_quality.paired(clients, 200, LIMITS).p_worse)
    assert set(outcomes[:199]) == {None} and len(set(outcomes[199:])) == 1
