"""Sums and look-ups over groups of rows, against loops."""

import numpy as np
import pytest

from pipeline.tasks.recommendation.data import grouping

SIZES = (0, 1, 2, 50, 1000)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("largest", [3, 10**6, 2**60])
def test_groups_are_those_of_a_loop(size: int, largest: int) -> None:
    rng = np.random.default_rng(size)
    keys, values = rng.integers(0, largest, size), rng.integers(0, 100, size)
    found = grouping.group(keys)
    expected: dict[int, list[int]] = {}
    for key, value in zip(keys.tolist(), values.tolist(), strict=True):
        expected.setdefault(key, []).append(value)
    assert found.keys.tolist() == sorted(expected)
    groups = [expected[key] for key in sorted(expected)]
    assert found.sums(values).tolist() == [sum(group) for group in groups]
    assert found.least(values).tolist() == [min(group) for group in groups]
    assert found.of_first(values).tolist() == [group[0] for group in groups]
    assert found.of_last(values).tolist() == [group[-1] for group in groups]
    assert found.sums(np.stack([values, values], 1)).tolist() == [[sum(group)] * 2 for group in groups]


def test_what_is_not_there_is_not_found() -> None:
    found = grouping.group(np.array([7, 3, 7]))
    assert found.find(np.array([3, 7, 5, 9, 0])).tolist() == [0, 1, -1, -1, -1]
    assert grouping.group(np.empty(0, dtype=np.int64)).find(np.array([3])).tolist() == [-1]


@pytest.mark.parametrize("values", [np.array([1.5, 2.5]), np.array([[1.5, 1.0], [2.5, 2.0]]), np.empty(0)])
def test_taken_says_otherwise_where_nothing_is(values: np.ndarray) -> None:
    places = np.array([[0, -1], [1, 0]]) if len(values) else np.array([-1, -1])
    found = grouping.taken(values, places, 9.0)
    assert found.dtype == np.float32
    assert found.shape == places.shape + values.shape[1:]
    assert (found[places < 0] == 9.0).all()
    assert (found[places >= 0] == values[places[places >= 0]]).all()


def test_slices_are_laid_one_after_another() -> None:
    places, which = grouping.slices(np.array([4, 9, 0]), np.array([6, 9, 3]))
    assert places.tolist() == [4, 5, 0, 1, 2]
    assert which.tolist() == [0, 0, 2, 2, 2]


def test_runs() -> None:
    values = np.array([5, 5, 2, 5, 5, 5])
    assert grouping.begins(values).tolist() == [0, 2, 3]
    assert grouping.within(values).tolist() == [0, 1, 0, 0, 1, 2]
    assert grouping.begins(values[:0]).tolist() == grouping.within(values[:0]).tolist() == []


def test_ranks_begin_anew_in_each_group_and_equal_scores_keep_their_order() -> None:
    which, score = np.array([1, 0, 1, 1, 0]), np.array([2.0, 1.0, 3.0, 3.0, 5.0])
    assert grouping.rank_in_group(which, score).tolist() == [2, 1, 0, 1, 0]
