"""Examples, metrics, baselines, networks: what the recommender learns from and is judged by."""

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from pipeline.core import golden_set, model_package
from pipeline.core.errors import Interrupted, ModelError
from pipeline.core.statistics import clustered_mean
from pipeline.tasks.recommendation import train
from pipeline.tasks.recommendation.data import network, tifu
from pipeline.tasks.recommendation.data.dataset import read_catalogue, read_split
from pipeline.tasks.recommendation.data.histories import Rows
from pipeline.tasks.recommendation.data.retrieval import Retrieval
from pipeline.tasks.recommendation.data.state import CATALOGUE
from pipeline.tasks.recommendation.learning import (
    baselines,
    examples,
    export,
    fitting,
    lists,
    networks,
    ranking,
    sanity,
    scoring,
)
from pipeline.tasks.recommendation.learning.examples import Examples, Past
from pipeline.tasks.recommendation.learning.networks import gru, lstm
from pipeline.tasks.recommendation.learning.networks.ranker import Ranker
from pipeline.tasks.recommendation.parameters import Train
from pipeline.tasks.recommendation.recipe_parameters import GruParameters, LstmParameters
from pipeline.training import debugging_checks
from pipeline.training.resuming import Checkpoints
from tests import synthetic_shop
from tests.image_classification.test_resuming import Signalled
from tests.imports import ROOT
from tests.recommendation.shop_project import ShopProject

WEEK = 7
# Of Lightning and of the exporter, about what is meant here.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*You defined a `validation_step`"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec"),
]


def train_params(**network_changes: object) -> Train:
    retail = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"]["retail"]
    section = synthetic_shop.learning(retail)["train"]
    section["network"] |= network_changes
    return Train.model_validate(section)


@pytest.fixture(scope="module")
def past(prepared_shop: ShopProject) -> Past:
    prepared = prepared_shop.paths.prepared
    parts = [read_split(prepared / split) for split in ("train", "val")]
    retrieval = Retrieval(**train_params().retrieval.model_dump())
    return Past(parts, read_catalogue(prepared / "train" / CATALOGUE), retrieval, 28)


@pytest.fixture(scope="module")
def asked(past: Past) -> Examples:
    day = past.parts[1].first_day
    return examples.at(past, day, past.next_baskets(day, WEEK))


def training(past: Past, **said: float) -> Examples:
    """Questions of as many weeks before the validation part."""
    asked = train_params().examples.model_copy(update={"every_days": WEEK, "horizon_days": WEEK, **said})
    return examples.training(past, past.parts[1].first_day, asked, seed=1)


def made(past: Past, asked: Examples, params: Train) -> Ranker:
    torch.manual_seed(0)
    mean, std = fitting.feature_statistics(asked)
    return networks.build(params.network, past.catalogue.codes, mean, std, params.retrieval.baskets)


def test_targets_are_the_first_baskets_of_the_days_asked_about(past: Past) -> None:
    day = past.parts[1].first_day
    targets = past.next_baskets(day, WEEK)
    purchases = past.parts[1]
    for customer, products in list(zip(targets.customers, targets.products, strict=True))[:20]:
        of_customer = np.flatnonzero((purchases.customer == customer) & (purchases.day < day + WEEK))
        first = purchases.basket[of_customer] == purchases.basket[of_customer[0]]
        assert sorted(purchases.product[of_customer[first]]) == sorted(products)


def test_live_baskets_are_taken_out_of_the_answers_and_hidden_customers_have_no_history(past: Past) -> None:
    found = training(past, origins=3, live_share=1.0, hidden_share=1.0, questions_max=400)
    held = found.inputs.features[..., found.inputs.names.index("basket_products")].max(axis=1)
    assert (held > 0).mean() > 0.4
    nobody = found.customers < 0
    assert nobody.any() and (found.baskets[nobody] == 0).all() and not found.inputs.bought[nobody].any()
    assert (found.relevant.sum(axis=1) <= found.wanted).all() and found.relevant.any(axis=1).all()


def test_training_questions_are_thinned_to_the_most_that_is_allowed(past: Past) -> None:
    few = training(past, origins=4, live_share=0.0, hidden_share=0.0, questions_max=60)
    assert 30 < len(few) <= 60


def test_metrics_on_a_ranking_known_by_hand() -> None:
    scores = np.array([[3.0, 2.0, 1.0, 0.0]])
    relevant, wanted = np.array([[1.0, 0.0, 1.0, 0.0]]), np.array([4])
    assert ranking.recall(scores, relevant, wanted, 3) == pytest.approx([0.5])


def test_lists_and_rankings_are_judged_alike() -> None:
    made_lists, baskets = np.array([[4, 7, -1]]), [np.array([7, 9])]
    found = lists.hits(made_lists, baskets, 10)
    assert found.tolist() == [[False, True, False]]
    assert lists.recall(found, np.array([2])) == pytest.approx([0.5])
    assert lists.ndcg(found, np.array([2])) == pytest.approx([(1 / np.log2(3)) / (1 + 1 / np.log2(3))])
    both = np.array([[False, True, True]])
    assert lists.average_precision(both, np.array([4])) == pytest.approx([(1 / 2 + 2 / 3) / 3])
    assert lists.reciprocal_rank(np.array([[False, True, True], [False] * 3])) == pytest.approx([1 / 2, 0])
    kinds = np.arange(10) // 5
    assert lists.recall_of_kinds(made_lists, baskets, kinds) == pytest.approx([1.0])


def test_an_interval_over_customers_is_wider_than_one_over_their_questions() -> None:
    rng = np.random.default_rng(0)
    customers = np.repeat(np.arange(50), 20)
    values = np.repeat(rng.normal(0, 1, 50), 20)
    mean, (low, high) = clustered_mean(values, customers, draws=300, seed=0)
    _, (narrow_low, narrow_high) = clustered_mean(values, np.arange(1000), draws=300, seed=0)
    assert low < mean < high and high - low > 3 * (narrow_high - narrow_low)


def test_tifu_weighs_newer_groups_of_baskets_more() -> None:
    ordinal = np.arange(24)
    rows = Rows(
        1, np.zeros(24, int), (ordinal >= 12).astype(int), ordinal, ordinal, np.ones(24), np.zeros(24, int)
    )
    old, new = tifu.vectors(rows, 2).toarray()[0]
    assert new / old == pytest.approx(sum(0.8**g for g in range(6)) / sum(0.8**g for g in range(6, 12)))


def test_baselines_list_what_they_say(past: Past) -> None:
    day = past.parts[1].first_day
    targets = past.next_baskets(day, WEEK)
    rows = past.histories.rows(targets.customers, past.histories.ends(day))
    question = baselines.Asked(past.state(day), targets.customers, rows, past.retrieval)
    personal = baselines.personal_top(question, 10)
    counts = np.bincount(rows.product[rows.question == 0], minlength=question.state.products)
    listed = personal[0][personal[0] >= 0]
    assert (np.diff(counts[listed]) <= 0).all() and counts[listed[0]] == counts.max()
    combined = baselines.combined_top(question, 10)
    assert (combined >= 0).all() and all(len(set(row)) == 10 for row in combined.tolist())
    for name, baseline in baselines.BASELINES.items():
        assert baseline(question, 10).shape == (len(targets.customers), 10), name


@pytest.mark.parametrize(
    "sequence",
    [
        {"name": "transformer", "layers": 1, "heads": 2, "dropout": 0.1},
        {"name": "lstm", "layers": 1, "dropout": 0.1},
        {"name": "gru", "layers": 1, "dropout": 0.1},
    ],
)
def test_a_network_learns_and_is_the_same_after_export_and_loading(
    past: Past, asked: Examples, tmp_path: Path, sequence: dict
) -> None:
    params = train_params(sequence=sequence)
    ranker = made(past, asked, params)
    figures = sanity.check(ranker, params, asked)
    assert figures["overfit_loss"] < figures["initial_loss"]
    fitting.fit(ranker, params, 1, asked)
    scores = np.where(asked.inputs.products >= 0, scoring.scores(ranker, asked), network.NO_CANDIDATE)
    learnt = ranking.recall(scores, asked.relevant, asked.wanted, 10).mean()
    popular = asked.inputs.features[..., asked.inputs.names.index("popularity_1")]
    popular = np.where(asked.inputs.products >= 0, popular, network.NO_CANDIDATE)
    assert learnt > ranking.recall(popular, asked.relevant, asked.wanted, 10).mean()

    save_file({name: value.contiguous() for name, value in ranker.state_dict().items()},
              tmp_path / model_package.WEIGHTS)  # fmt: skip
    export.to_onnx(ranker, asked.inputs, tmp_path / model_package.NETWORK)
    np.save(tmp_path / network.KNOWN_PRODUCTS, past.catalogue.product_ids)
    description = {
        "network": params.network.model_dump(mode="json"),
        "features": list(asked.inputs.names),
        "retrieval": params.retrieval.model_dump(),
    }
    model_package.describe(tmp_path, description, [network.KNOWN_PRODUCTS])
    exported = network.load(tmp_path, past.catalogue).scores(asked.inputs)
    assert np.abs(exported - scores).max() < 1e-4
    loaded = networks.load(tmp_path, past.catalogue)(asked)
    assert np.abs(np.where(asked.inputs.products >= 0, loaded, network.NO_CANDIDATE) - scores).max() < 1e-5

    golden_set.write(tmp_path, train.golden_questions(asked), ("scores",))
    kept = golden_set.read(tmp_path)[1]["scores"]
    rows = golden_set.spread(len(asked), train.GOLDEN_QUESTIONS)
    there = asked.inputs.products[rows, : train.GOLDEN_CANDIDATES] >= 0
    assert kept.shape == there.shape and len(kept) == train.GOLDEN_QUESTIONS
    assert np.abs(kept - scores[rows, : train.GOLDEN_CANDIDATES])[there].max() < 1e-4


@pytest.mark.parametrize(
    ("encoder", "reference", "gates"),
    [
        (gru.encoder(GruParameters(name="gru", layers=1, dropout=0), 6), torch.nn.GRU, [0, 1, 2]),
        # torch has the candidate before the output gate
        (lstm.encoder(LstmParameters(name="lstm", layers=1, dropout=0), 6), torch.nn.LSTM, [0, 1, 3, 2]),
    ],
)
def test_written_out_steps_are_those_of_torch(
    encoder: torch.nn.Module, reference: type[torch.nn.GRU | torch.nn.LSTM], gates: list[int]
) -> None:
    width, baskets = 6, torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0))
    order = torch.arange(len(gates) * width).view(-1, width)[gates].flatten()
    torchs = reference(width, width, batch_first=True)
    inward, recurrent = (list(layer.parameters()) for layer in encoder.get_submodule("layers.0").children())
    with torch.no_grad():
        bias = recurrent[1][order] if len(recurrent) > 1 else torch.zeros(len(order))
        given = [inward[0][order], recurrent[0][order], inward[1][order], bias]
        for theirs, ours in zip(torchs.parameters(), given, strict=True):
            theirs.copy_(ours)
        read = encoder(baskets, torch.ones(3, 5, dtype=torch.bool))
        assert torch.allclose(read, baskets + torchs(baskets)[0], atol=1e-6)


def test_products_that_a_network_does_not_know_are_unknown_to_it(
    past: Past, asked: Examples, tmp_path: Path
) -> None:
    known = past.catalogue.product_ids[:-5]
    places = network._places(known, past.catalogue.product_ids)
    assert places[:-5].tolist() == list(range(len(known))) and (places[-5:] == len(known)).all()
    with pytest.raises(ModelError, match="Train it again"):
        network._places(known.astype(str), past.catalogue.product_ids)


def test_a_network_that_cannot_learn_is_told_before_the_long_run(past: Past, asked: Examples) -> None:
    params = train_params()
    ranker = made(past, asked, params)
    ranker.taste.weight.requires_grad_(False)
    with pytest.raises(ModelError, match=r"no gradient reaches .*taste"):
        sanity.check(ranker, params, asked)


def test_answers_that_do_not_belong_to_their_questions_are_told(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debugging_checks, "UNSEEN_MIN", 20)  # this shop is small
    params = train_params()
    found = training(past, origins=4, live_share=0.0, hidden_share=0.0, questions_max=600)
    sound = sanity.check(made(past, found, params), params, found)
    assert sound["line_up_z"] > 2
    torch.manual_seed(0)
    mixed = sanity._mixed_up([torch.from_numpy(found.relevant)], [torch.from_numpy(found.inputs.products)])[0]
    assert not mixed[torch.from_numpy(found.inputs.products) < 0].any()
    assert torch.equal(mixed.sum(dim=1), torch.from_numpy(found.relevant).sum(dim=1))
    with pytest.raises(ModelError, match="Inputs and targets do not belong together"):
        sanity.check(made(past, found, params), params, replace(found, relevant=mixed.numpy()))


def test_a_training_with_dropout_that_is_interrupted_goes_on_to_the_same_weights(
    past: Past, asked: Examples, tmp_path: Path
) -> None:
    """Dropout draws from torch's own generator, whose state is a part of the checkpoint."""
    params, found = train_params(dropout=0.3), []
    for stop in (None, 5):
        checkpoint = tmp_path / f"{stop}.ckpt"
        if stop is not None:
            with pytest.raises(Interrupted):
                fitting.fit(
                    made(past, asked, params), params, 5, asked,
                    callbacks=[Signalled(stop, signal.SIGTERM), Checkpoints(checkpoint, 1e9)],
                )  # fmt: skip
        ranker, resumed = made(past, asked, params), str(checkpoint) if stop is not None else None
        torch.manual_seed(99)  # a new process has other states
        fitting.fit(ranker, params, 5, asked, resume_from=resumed, callbacks=[Checkpoints(checkpoint, 1e9)])
        found.append(torch.cat([p.detach().flatten() for p in ranker.parameters()]))
    assert torch.equal(*found)


def test_training_again_gives_the_same_weights(past: Past, asked: Examples) -> None:
    params = train_params()
    found = []
    for _ in range(2):
        ranker = made(past, asked, params)
        fitting.fit(ranker, params, 5, asked)
        found.append(torch.cat([p.detach().flatten() for p in ranker.parameters()]))
    assert torch.equal(*found)


def test_a_training_of_very_few_steps_has_a_schedule(past: Past, asked: Examples) -> None:
    params = train_params()
    few = asked.rows(slice(2 * params.batch_size))
    ranker = made(past, asked, params)
    before = ranker.taste.weight.detach().clone()
    fitting.fit(ranker, params, 1, few)
    assert not torch.equal(ranker.taste.weight, before) and ranker.taste.weight.isfinite().all()


@pytest.mark.parametrize("share", [0.3, 0.02])
def test_slices_of_a_batch_add_up_to_its_loss(share: float) -> None:
    """As processes share out a batch, also one with hardly a relevant candidate."""
    torch.manual_seed(0)
    scores, relevant = torch.randn(12, 9), (torch.rand(12, 9) < share).float()
    whole = fitting.listwise(scores, relevant)
    slices = list(zip(scores.tensor_split(3), relevant.tensor_split(3), strict=True))
    total = fitting.question_weights(relevant).sum()
    shared = sum(float(fitting.listwise(*part, total)) for part in slices)
    assert 0 < shared == pytest.approx(whole.item(), rel=1e-6)
