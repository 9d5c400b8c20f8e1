"""Whether a model may replace the champion: the tests, and the decision that is made of them."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, norm

from pipeline.champion import promotion
from pipeline.champion.paired_tests import RightWrong, compare
from pipeline.core.parameters import Register

LIMITS = Register(
    approval="automatic", margin=0.01, slice_margin=0.02, slice_items_min=100, draws=500, seed=1
)
N = 2000


def pair(won: int, lost: int, items: int = N) -> tuple[np.ndarray, np.ndarray]:
    """The first `won` items are right for the new model alone, the next `lost` for the old one alone."""
    new, old = np.ones(items), np.ones(items)
    old[:won] = 0
    new[won : won + lost] = 0
    return new, old


def decide(new: np.ndarray, old: np.ndarray, **slices: np.ndarray) -> promotion.Decision:
    return promotion.decide(new, old, slices, LIMITS, "3")


def test_mcnemar_is_the_binomial_test_of_the_disagreements() -> None:
    for won, lost in ((0, 0), (0, 4), (7, 1), (30, 30), (41, 12)):
        expected = binomtest(won, won + lost, 0.5, alternative="greater").pvalue if won + lost else 1.0
        assert RightWrong(N, won, lost).p_better == pytest.approx(expected)


@pytest.mark.parametrize("bound", [-0.05, -0.004, 0.02])
def test_tangos_z_uses_the_most_likely_shares_under_the_bound(bound: float) -> None:
    """Against a numerical search for them."""
    n, won, lost = 300, 9, 14

    def unlikely(q: float) -> float:
        shares, counts = np.array([q + bound, q, 1 - 2 * q - bound]), np.array([won, lost, n - won - lost])
        return float(-(counts * np.log(shares)).sum())

    q = minimize_scalar(unlikely, bounds=(max(0, -bound) + 1e-9, (1 - bound) / 2 - 1e-9), method="bounded",
                        options={"xatol": 1e-12}).x  # fmt: skip
    z = (won - lost - n * bound) / np.sqrt(n * (2 * q + bound * (1 - bound)))
    assert RightWrong(n, won, lost).p_below(bound) == pytest.approx(norm.cdf(z), rel=1e-3)


def test_without_a_disagreement_the_interval_is_as_wide_as_the_items_allow() -> None:
    low, high = RightWrong(1000, 0, 0).interval
    assert (low, high) == pytest.approx((-3.8415 / 1003.8415, 3.8415 / 1003.8415), rel=1e-3)
    low, high = RightWrong(100, 100, 0).interval
    assert low > 0.9 and high == 1.0


def test_other_scores_are_resampled_in_pairs() -> None:
    rng = np.random.default_rng(0)
    old = rng.random(N)
    found = compare(old + 0.01 + rng.normal(0, 0.05, N), old, draws=2000, seed=0)
    error = 0.05 / N**0.5
    assert found.interval == pytest.approx((0.01 - 1.96 * error, 0.01 + 1.96 * error), abs=error)
    assert found.p_better <= 1 / 1000 and found.p_below(0.02) <= 1 / 1000 and found.p_below(0) > 0.9


def test_a_better_model_is_called_better() -> None:
    found = decide(*pair(won=40, lost=10))
    assert (found.outcome, found.promotes) == ("better", True)
    assert "better: +0.01500 [+0.00" in found.reason and "2,000 unseen items" in found.reason
    assert all(gate.passed for gate in found.gates)


def test_an_equally_good_model_is_not_worse() -> None:
    found = decide(*pair(won=10, lost=10))
    assert found.outcome == "not worse" and "margin of 0.01" in found.reason


def test_a_worse_model_is_refused() -> None:
    found = decide(*pair(won=5, lost=60))
    assert found.outcome == "refused" and found.reason.endswith("it is worse; train a better one.")
    assert [gate.passed for gate in found.gates] == [False, True]


def test_too_few_items_to_tell_are_a_refusal_that_says_how_many_it_takes() -> None:
    found = promotion.decide(*pair(won=2, lost=2, items=200), {}, LIMITS, "3")
    assert found.outcome == "refused" and "could not be shown to be no worse" in found.reason
    needed = float(found.reason.split("about ")[1].split(" ")[0].replace(",", ""))
    items = round(needed * 1.1)
    enough = promotion.decide(*pair(items // 100, items // 100, items), {}, LIMITS, "3")
    assert enough.promotes


def test_a_loss_in_one_slice_is_refused_although_the_whole_is_better() -> None:
    new, old = pair(won=80, lost=20)
    bad = np.zeros(N, dtype=bool)
    bad[80:280] = True  # all 20 losses are here: 10 points
    found = decide(new, old, seven=bad, others=~bad)
    assert found.outcome == "refused" and found.difference > 0.02
    assert "but evidently worse in seven (-0.1000 on 200 items" in found.reason
    assert [one.verdict for one in found.slices] == ["worse", "holds"]
    assert [gate.passed for gate in found.gates] == [True, False] and "seven" in found.gates[1].remedy


def test_a_small_slice_is_told_and_not_judged() -> None:
    new, old = pair(won=80, lost=20)
    bad = np.zeros(N, dtype=bool)
    bad[80:140] = True
    found = decide(new, old, few=bad, none=np.zeros(N, dtype=bool))
    assert found.promotes
    assert [(one.name, one.items, one.verdict, one.p) for one in found.slices] == [
        ("few", 60, "not judged", None),
        ("none", 0, "not judged", None),
    ]


def test_what_a_slice_would_notice_is_noticed_four_times_of_five() -> None:
    rng = np.random.default_rng(3)
    items, rows = 1000, {"only": np.ones(1000, dtype=bool)}
    first = promotion.decide(*_drawn(rng, items, 0.0), rows, LIMITS, "3").slices[0]
    assert first.detectable is not None and 0.02 < first.detectable < 0.05
    seen = [promotion.decide(*_drawn(rng, items, first.detectable), rows, LIMITS, "3") for _ in range(200)]
    caught = sum(found.slices[0].verdict == "worse" for found in seen) / 200
    assert 0.65 < caught < 0.95


def _drawn(rng: np.random.Generator, items: int, loss: float) -> tuple[np.ndarray, np.ndarray]:
    place = rng.random(items)
    return 1.0 - (place < 0.005 + loss), 1.0 - (place > 0.995)


def test_the_same_scores_give_the_same_decision() -> None:
    rng = np.random.default_rng(0)
    old = rng.random(N)
    new = old + rng.normal(0, 0.1, N)
    rows = {"half": np.arange(N) % 2 == 0}
    assert promotion.decide(new, old, rows, LIMITS, "3") == promotion.decide(new, old, rows, LIMITS, "3")
