"""Sums over sparse rows, against SciPy's public operations: to the bit."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random_array

from pipeline.tasks.recommendation.data import sparse_sums


@pytest.fixture
def matrix() -> csr_matrix:
    made = random_array((30, 200), density=0.2, dtype=np.float32, rng=np.random.default_rng(0))
    return csr_matrix(made)


@pytest.mark.parametrize("rows", [[3], [7, 2, 2, 29], []])
def test_rows_are_those_of_the_matrix(matrix: csr_matrix, rows: list[int]) -> None:
    values, columns, start = sparse_sums.rows_of(matrix, np.array(rows, dtype=np.int64))
    expected = matrix[np.array(rows, dtype=np.int64)]
    assert np.array_equal(start, expected.indptr)
    assert np.array_equal(columns, expected.indices)
    assert np.array_equal(values, expected.data)


@pytest.mark.parametrize("wide", [1, 2, 50])
def test_the_product_is_that_of_the_matrix(matrix: csr_matrix, wide: int) -> None:
    dense = np.random.default_rng(1).random((200, wide), dtype=np.float32)
    found = sparse_sums.times(matrix.data, matrix.indices, matrix.indptr, dense)
    assert found.dtype == np.float32
    assert np.array_equal(found, matrix @ dense)


def test_a_row_without_anything_adds_up_to_nothing() -> None:
    nothing = np.empty(0, dtype=np.int32)
    found = sparse_sums.times(
        np.empty(0, dtype=np.float32), nothing, np.zeros(3, dtype=np.int32), np.ones((4, 2), dtype=np.float32)
    )
    assert found.tolist() == [[0, 0], [0, 0]]
