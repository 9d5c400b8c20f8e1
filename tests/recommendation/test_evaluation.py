"""What the stage `evaluate` finds about a recommender, on questions whose truth is known."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError
from safetensors.torch import save_file

from pipeline.core import model_package
from pipeline.core.paths import Paths
from pipeline.reporting.evidence_tables import intervals_of
from pipeline.tasks.recommendation import evaluate
from pipeline.tasks.recommendation.data import network
from pipeline.tasks.recommendation.data.dataset import read_catalogue, read_split
from pipeline.tasks.recommendation.data.state import CATALOGUE
from pipeline.tasks.recommendation.learning import baselines, export, fitting, networks
from pipeline.tasks.recommendation.learning.examples import Examples, Past, at
from pipeline.tasks.recommendation.learning.judging import LONG, NETWORK, Judged
from pipeline.tasks.recommendation.parameters import Change, Evaluate, Goals, Slices, Train
from pipeline.tasks.recommendation.testing import (
    behaviour,
    beyond_accuracy,
    explanations,
    misses,
    properties,
    reliability,
    representation,
    robustness,
    slices,
    wanted,
)
from pipeline.tasks.recommendation.testing.wanted import Answered, Owned, Wanted
from pipeline.tasks.recommendation.testing.week import Week
from pipeline.testing.evaluation import Evaluation
from tests import synthetic_shop
from tests.imports import ROOT
from tests.recommendation import shop_package
from tests.recommendation.shop_project import ShopProject

WEEK = 7
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*You defined a `validation_step`"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec"),
    pytest.mark.filterwarnings("ignore:Setting forward, backward hooks and attributes on non-linear"),
]


def section() -> dict[str, Any]:
    retail = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"]["retail"]
    return synthetic_shop.learning(retail)


LIMITS = Evaluate.model_validate(section()["evaluate"])


@pytest.fixture(scope="module")
def package(prepared_shop: ShopProject, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A project with a network that learnt a little, as `train` leaves it."""
    paths = Paths(tmp_path_factory.mktemp("evaluated"), "shop")
    shutil.copytree(prepared_shop.paths.prepared, paths.prepared)
    params = Train.model_validate(section()["train"])
    parts = [read_split(paths.prepared / split) for split in ("train", "val")]
    catalogue = read_catalogue(paths.prepared / "train" / CATALOGUE)
    retrieval = params.retrieval.model_dump()
    past = Past(parts, catalogue, evaluate.Retrieval(**retrieval), 28)
    day = parts[1].first_day
    asked = at(past, day, past.next_baskets(day, WEEK))
    torch.manual_seed(0)
    mean, std = fitting.feature_statistics(asked)
    ranker = networks.build(params.network, catalogue.codes, mean, std, params.retrieval.baskets)
    fitting.fit(ranker, params, 1, asked)
    paths.model.mkdir(parents=True)
    weights = {name: value.contiguous() for name, value in ranker.state_dict().items()}
    save_file(weights, paths.model / model_package.WEIGHTS)
    export.to_onnx(ranker, asked.inputs, paths.model / model_package.NETWORK)
    np.save(paths.model / network.KNOWN_PRODUCTS, catalogue.product_ids)
    description = {
        "network": params.network.model_dump(mode="json"),
        "features": list(asked.inputs.names),
        "retrieval": retrieval,
    }
    model_package.describe(paths.model, description, [network.KNOWN_PRODUCTS])
    return paths


@pytest.fixture(scope="module")
def whole(package: Paths, tmp_path_factory: pytest.TempPathFactory) -> tuple[Evaluation, Path]:
    params = SimpleNamespace(goals=Goals.model_validate(section()["goals"]), evaluate=LIMITS)
    folder = tmp_path_factory.mktemp("evaluation")
    return evaluate.evaluate(params, package, folder), folder


@pytest.fixture(scope="module")
def week(package: Paths) -> Week:
    past = evaluate._past(package.model, package.prepared)
    first = past.parts[-1].first_day
    return Week(past, network.load(package.model, past.catalogue), first, past.next_baskets(first, WEEK), 1)


def made_up(recalls: np.ndarray, customers: np.ndarray | None = None, wanted_each: int = 10) -> Judged:
    """Questions whose lists find a given share of what came: products 0, 1, 2, ... in order."""
    size = len(recalls)
    found = np.round(recalls * wanted_each).astype(int)
    listed = np.where(np.arange(LONG) < found[:, None], np.arange(LONG), 100 + np.arange(LONG))
    return Judged(
        days=np.full(size, 1000),
        customers=np.arange(size) if customers is None else customers,
        baskets=[np.arange(wanted_each) for _ in range(size)],
        before=np.full(size, 5),
        wanted=np.full(size, wanted_each),
        wanted_new=np.zeros(size, int),
        products=listed.astype(np.int32),
        bought=np.ones((size, LONG), bool),
        relevant=listed < wanted_each,
        scores=np.broadcast_to(-np.arange(LONG, dtype=np.float32), (size, LONG)),
        lists={NETWORK: listed, baselines.TIFU_KNN: listed},
        new=np.full((size, LONG), -1),
        new_found=np.zeros((size, LONG), bool),
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_whole_evaluation_says_what_it_promises(whole: tuple[Evaluation, Path]) -> None:
    found, folder = whole
    assert set(found.intervals) < set(found.metrics)
    for name, (low, high) in found.intervals.items():
        assert low <= found.metrics[name] <= high, name
    assert {gate.name for gate in found.gates} > {
        "recall_at_20",
        "slice_recall_at_20_high",
        "explanation_error",
    }
    assert found.details["parity"]["changed"] == 0
    lost = sum(part["recall_lost"] for part in found.details["losses"].values())
    assert lost == pytest.approx(1 - found.metrics["recall_at_20"])
    pictures = {"lists", "beyond_accuracy", "losses", "slices", "reliability", "confidence", "robustness",
                "explanations", "products", "layers"}  # fmt: skip
    assert {path.stem for path in folder.glob("*.png")} == pictures
    shares = [float(row["share"]) for row in rows_of(folder / "misses.csv")]
    assert sum(shares) == pytest.approx(1, abs=1e-4)
    worst = rows_of(folder / "worst.csv")
    assert len(worst) == LIMITS.worst
    for row in worst:
        fates = [int(row[name]) for name in ("found", "ranked_low", "no_candidate", "never_sold")]
        assert sum(fates) == int(row["products_wanted"]) == len(row["came"].split("; "))


def test_slices_are_of_the_very_customers_of_scores(package: Paths) -> None:
    found = evaluate.slices(None, package.prepared)
    scores = evaluate.scores(None, package.model, package.prepared)
    assert {len(mask) for mask in found.values()} == {len(scores)}
    described = {name.split(": ")[0] for name in found}
    assert {"baskets before", "standing", "store", "age", "household_size"} < described
    for each in described:  # every customer is in one slice of each property
        masks = [mask for name, mask in found.items() if name.split(": ")[0] == each]
        assert (np.sum(masks, axis=0) == 1).all(), each


def test_what_comes_later_moves_no_bound_of_a_slice(package: Paths) -> None:
    parts, catalogue = evaluate._parts(package.prepared)
    cut, everybody = parts[-1].first_day, np.arange(len(catalogue.customer_ids))
    before = properties.named(properties.known(parts, catalogue, cut), catalogue, everybody)
    spoilt = replace(
        parts[-1], value=parts[-1].value * 0, store=parts[-1].store * 0, customer=parts[-1].customer * 0
    )
    after = properties.named(properties.known([*parts[:2], spoilt], catalogue, cut), catalogue, everybody)
    assert list(before) == list(after)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def planted(week: Week, recall: np.ndarray) -> Answered:
    """The customers of a week with made-up lists that find a given share of what they wanted."""
    judged = replace(made_up(recall, week.targets.customers), days=np.full(len(recall), week.day))
    return wanted.answered(week.past, judged)


def test_a_slice_fails_its_floor_by_evidence_and_not_by_chance(week: Week) -> None:
    limits = Slices(recall_at_20_min=0.3, customers_min=20, leaves=3)
    customers, rng = week.targets.customers, np.random.default_rng(0)
    validation = planted(week, rng.choice([0.0, 0.3, 0.6], len(customers)))
    passed = []
    for _ in range(40):  # all at the floor
        rows, _ = slices.of_customers(
            planted(week, rng.choice([0.0, 0.3, 0.6], len(customers))), validation, limits
        )
        passed.append(slices.gate(rows, limits).passed)
    assert sum(passed) >= 36
    store = properties.known(list(week.past.parts), week.past.catalogue, week.day).store[customers]
    bad = store == store[0]
    unseen = planted(week, np.where(bad, 0.1, 0.6))
    rows, _ = slices.of_customers(unseen, validation, limits)
    lowest = min((row for row in rows if row["judged"]), key=lambda row: row["recall_at_20"])
    assert not slices.gate(rows, limits).passed and lowest["recall_at_20"] == pytest.approx(0.1)
    assert list(intervals_of(lowest)) == ["recall_at_20"]  # the model card shows it with its interval
    assert lowest["slice"].startswith("store") and lowest["customers"] == bad.sum()
    few = Slices(recall_at_20_min=0.3, customers_min=10_000, leaves=3)
    rows, _ = slices.of_customers(unseen, validation, few)
    assert slices.gate(rows, few).passed  # too few to judge


def test_a_slice_that_nobody_named_is_found_and_confirmed(week: Week) -> None:
    described = properties.known(list(week.past.parts), week.past.catalogue, week.day)
    baskets = described.figures["baskets"][week.targets.customers]
    low = planted(week, np.where(baskets > np.median(baskets), 0.2, 0.7))
    limits = Slices(recall_at_20_min=0.1, customers_min=10, leaves=2)
    _, found = slices.of_customers(low, low, limits)
    assert "baskets from" in found[0]["slice"] and found[0]["confirmed"]
    assert found[0]["recall_at_20"] == pytest.approx(0.2)
    elsewhere = planted(week, np.full(len(baskets), 0.5))
    _, found = slices.of_customers(elsewhere, low, limits)
    assert not any(each["confirmed"] for each in found)


def test_losses_add_up_and_are_told_apart() -> None:
    came = Wanted(
        question=np.repeat([0, 1], [4, 25]),
        product=np.arange(29),
        rank=np.concatenate([[0, 30, -1, -1], np.arange(25)]),
        bought=np.ones(29, bool),
        sold=np.concatenate([[True, True, True, False], np.ones(25, bool)]),
    )
    judged = replace(made_up(np.zeros(2)), wanted=np.array([4, 25]))
    lost = misses.lost(judged, came)
    assert lost[:, 0].tolist() == [0, 0.25, 0.25, 0.25]  # in the order of LOSSES
    assert lost[:, 1] == pytest.approx([0.2, 0, 0, 0])  # 20 of 25 is all that a list can hold


def test_novelty_diversity_and_coverage_of_lists_known_by_hand() -> None:
    made = np.array([[0, 1, 2, -1], [0, 3, 4, -1]])
    own = Owned(10, np.array([0, 1, 13]), np.array([2, 1]))
    types = np.array([1, 1, 2, 3, 3, 0, 0, 0, 0, 0])
    bought_by = np.array([1.0, 0.5, 0.25, 0.5, 0.25, 1, 1, 1, 1, 1])
    found = beyond_accuracy.of_lists(made, own, types, bought_by)
    assert found["repeats_at_20"] == pytest.approx([2 / 3, 1 / 3])
    assert found["novelty_at_20"] == pytest.approx([1, 1])  # 0, 1 and 2 bits
    assert found["diversity_at_20"] == pytest.approx([2 / 3, 2 / 3])
    sold = np.array([True] * 8 + [False] * 2)
    day = beyond_accuracy.of_day(made, sold)
    assert day["coverage"] == pytest.approx(5 / 8)
    assert day["personalisation"] == pytest.approx(1 - 1 / 3)
    assert beyond_accuracy.of_day(np.array([[0, 1], [2, 3]]), np.ones(4, bool))["gini"] == pytest.approx(0)
    assert beyond_accuracy.of_day(np.array([[0], [0]]), np.ones(4, bool))["gini"] == pytest.approx(3 / 4)


def scored(seed: int, scale: float, rows: int = 400, candidates: int = 60) -> Answered:
    """Baskets drawn by the shares that the scores stand for; scale: what the network says too much."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 2, (rows, candidates))
    share = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    relevant = rng.random((rows, candidates)) < 1 - (1 - share) ** 6
    judged = replace(
        made_up(np.full(rows, 0.5)),
        products=np.broadcast_to(np.arange(candidates, dtype=np.int32), relevant.shape),
        scores=(scale * scores).astype(np.float32),
        relevant=relevant,
    )
    own = Owned(candidates, np.arange(rows) * candidates, np.full(rows, 30))
    return Answered(None, 0, judged, own, None, np.ones(candidates))  # type: ignore[arg-type]


def test_scores_that_rise_with_purchases_are_read_as_probabilities_and_others_are_told(
    tmp_path: Path,
) -> None:
    sound = reliability.measure(scored(1, 1.0), scored(2, 1.0), LIMITS, tmp_path)
    told = sound.details["reliability"]
    assert told["scores"]["bins_that_fall"] == 0
    assert sound.metrics["calibration_error"] < 0.02 and told["as_probabilities"]["brier_skill"] > 0.1
    overdone = reliability.measure(scored(1, 3.0), scored(2, 3.0), LIMITS, tmp_path)  # mended by validation
    assert overdone.metrics["calibration_error"] < 0.03
    moved = reliability.measure(scored(1, -1.0), scored(2, 1.0), LIMITS, tmp_path)
    assert moved.details["reliability"]["scores"]["bins_that_fall"] > 1
    assert moved.metrics["calibration_error"] > 2 * sound.metrics["calibration_error"]


def test_recall_of_the_confident_part_is_higher_where_confidence_is_right(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sure = rng.random(300)
    judged = made_up(sure)
    scores = np.where(np.arange(LONG) < 2, 5 * sure[:, None], 0).astype(np.float32)
    other = np.concatenate([scores, np.zeros((300, 200), np.float32)], axis=1)
    wide = np.broadcast_to(np.arange(220, dtype=np.int32), other.shape)
    judged = replace(judged, scores=other, products=wide, relevant=wide < 10)
    curve = reliability.selective(judged, judged, LIMITS)
    recalls = [row["recall_at_20"] for row in curve["curve"]]
    assert curve["rank_correlation"] > 0.95 and recalls == sorted(recalls, reverse=True)
    assert recalls[-1] == pytest.approx(judged.recall(NETWORK).mean())


def test_changes_of_the_input_do_what_they_say(week: Week) -> None:
    rng = np.random.default_rng(0)
    sound = robustness.Situation(week.state, week.questions(week.targets.customers))
    rows = sound.questions.rows

    def changed(name: Change, severity: float) -> robustness.Situation:
        return robustness.CHANGES[name](sound, severity, rng)

    assert len(changed("missing_baskets", 1.0).questions.rows.product) == 0
    half = changed("missing_baskets", 0.5).questions.rows
    assert 0.4 < half.baskets.sum() / rows.baskets.sum() < 0.6
    assert changed("missing_days", 28).questions.rows.day.max() < week.day - 28
    noisy = changed("noise_purchases", 0.3).questions.rows
    lines = [(each.question * 1000 + each.ordinal) * 10_000 + each.product for each in (rows, noisy)]
    assert 0.6 < np.isin(*lines).mean() < 0.8 and len(np.unique(lines[1])) == len(lines[1])
    assert changed("shifted_days", 7).questions.day == week.day + 7
    held = changed("wrong_basket", 3).questions
    assert np.bincount(held.basket_question).max() <= 3 and len(np.unique(held.basket_question)) == len(held)
    items = changed("promotions_unknown", 1.0).state.items
    assert not items.display.any() and not items.mailer.any() and week.state.items.display.any()
    assert not changed("demographics_unknown", 1.0).state.catalogue.demographics.any()


def test_the_loss_by_a_broken_input_is_measured_and_gated(week: Week, tmp_path: Path) -> None:
    severities = {"missing_baskets": (0.9,), "demographics_unknown": (1.0,)}
    asked = {
        "customers": 60,
        "severities": severities,
        "kept_min": {"missing_baskets": 1.0, "demographics_unknown": 1.0},
    }
    limits = LIMITS.model_copy(update={"robustness": LIMITS.robustness.model_validate(asked)})
    found = robustness.measure(week, limits, tmp_path)
    sound, missing, unknown = found.details["robustness"]
    assert missing["recall_at_20"] < 0.8 * sound["recall_at_20"] and unknown["kept"] == 1
    assert [gate.passed for gate in found.gates] == [False, True]


def test_a_sound_recommender_passes_and_a_perverse_one_is_told(
    week: Week, package: Paths, tmp_path: Path
) -> None:
    linear = shop_package.write(tmp_path / "linear", package.prepared)
    ranker = network.load(linear, week.past.catalogue)
    past = Past(week.past.parts, week.past.catalogue, shop_package.RETRIEVAL, 28)
    week = replace(week, past=past, ranker=ranker)
    sound = behaviour.measure(week, LIMITS, tmp_path)
    shares = {row["test"]: row["passed"] for row in sound.details["behaviour"]}
    assert shares.pop("bought_twice_more") > 0.9
    assert set(shares.values()) == {1.0}, shares

    class Perverse:
        """Ranks what is bought most last."""

        def scores(self, inputs: Any) -> np.ndarray:
            made = ranker.scores(inputs)
            return np.where(inputs.products >= 0, -made, network.NO_CANDIDATE).astype(np.float32)

    floors = LIMITS.behaviour.model_copy(update={"passed_min": {"weekly_habit_is_listed": 0.9}})
    limits = LIMITS.model_copy(update={"behaviour": floors})
    told = behaviour.measure(replace(week, ranker=Perverse()), limits, tmp_path)  # type: ignore[arg-type]
    shares = {row["test"]: row["passed"] for row in told.details["behaviour"]}
    assert shares["weekly_habit_is_listed"] < 0.2 and shares["bought_twice_more"] < 0.9
    assert shares["discover_is_new"] == shares["excluded_is_not_shown"] == 1
    assert "behaviour_weekly_habit_is_listed_high" in {gate.name for gate in told.gates if not gate.passed}
    failures = rows_of(tmp_path / "behaviour_failures.csv")
    assert {"weekly_habit_is_listed"} <= {row["test"] for row in failures}


def test_every_feature_is_of_one_group(week: Week) -> None:
    asked = at(week.past, week.day, week.some(2))
    grouped = [name for names in explanations.GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(asked.inputs.names)


def test_an_explanation_names_what_the_score_is_made_of(week: Week, package: Paths, tmp_path: Path) -> None:
    ranker = networks.read(package.model, week.past.catalogue)
    seen = explanations.read(ranker, week, LIMITS.explanations)
    columns = seen.groups["popularity"]
    only = torch.nn.Linear(seen.known.shape[-1], 1, bias=False)
    with torch.no_grad():
        only.weight.zero_()
        only.weight[0, columns] = 1.0
    ranker.score = torch.nn.Sequential(only)
    found = explanations.measure(seen, week.past.catalogue, LIMITS, tmp_path).details["explanations"]
    first, *others = found["groups"]
    assert first["group"] == "popularity" and first["mean_absolute_share"] == pytest.approx(1)
    assert all(row["mean_absolute_share"] == pytest.approx(0, abs=1e-6) for row in others)
    assert first["recall_lost_when_mixed_up"] > 0 and found["completeness_error"] < 1e-3
    assert all(row["recall_lost_when_mixed_up"] == 0 for row in others)
    words = rows_of(tmp_path / "explanations.csv")
    assert all("popularity" in row["in_words"] for row in words)


def test_a_probe_finds_what_is_there_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    departments = rng.integers(1, 4, 400)
    departments[::2] = 1  # most are of one: saying always that is worth nothing
    types = np.arange(400) // 4
    there = np.eye(4)[departments] + rng.normal(0, 0.2, (400, 4))
    found = representation.department(there, departments, types, rng)
    assert found["interval"][0] <= found["share"] <= found["interval"][1] and found["share"] > 0.9
    absent = representation.department(rng.normal(0, 1, (400, 4)), departments, types, rng)
    assert absent["interval"][0] < absent["by_guessing"] == pytest.approx(1 / 3) and absent["share"] < 0.5


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"behaviour": {"customers": 5, "passed_min": {"never_wrong": 1.0}}}, "order_in_basket"),
        ({"behaviour": {"customers": 5, "passed_min": {"order_in_basket": 2.0}}}, "less than or equal to 1"),
        (
            {"robustness": {"customers": 5, "severities": {"missing_days": []}, "kept_min": {}}},
            "one number at least",
        ),
        (
            {"robustness": {"customers": 5, "severities": {}, "kept_min": {"missing_days": 1.0}}},
            "without severities",
        ),
        ({"slices": {"recall_at_20_min": 1.5, "customers_min": 5, "leaves": 3}}, "less than or equal to 1"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Evaluate.model_validate(section()["evaluate"] | change)


def test_the_tests_and_changes_of_the_parameters_are_those_of_the_code() -> None:
    from typing import get_args

    from pipeline.tasks.recommendation import parameters

    assert set(get_args(parameters.BehaviouralTest)) == set(behaviour.TESTS)
    assert set(get_args(parameters.Change)) == set(robustness.CHANGES)


def test_examples_of_explanations_are_drawn_from_the_week(week: Week) -> None:
    drawn = week.some(10)
    assert len(drawn.customers) == 10 and np.isin(drawn.customers, week.targets.customers).all()
    assert np.array_equal(drawn.customers, week.some(10).customers)
    made: Examples = at(week.past, week.day, drawn)
    assert np.array_equal(made.customers, drawn.customers)
