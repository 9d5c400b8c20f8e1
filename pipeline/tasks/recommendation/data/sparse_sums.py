"""Sums over rows of a sparse matrix, by SciPy's compiled loops alone.

Around these loops scipy.sparse makes and checks an object for every matrix, which for a single question takes
longer than the sum. They are what `matrix[rows]` and `matrix @ dense` come down to, and add in the same
order; SciPy does not promise them to others, so a test holds them to its public operations.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def rows_of(matrix: "csr_matrix", rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(values, columns, start) of some rows, as those of a CSR matrix. rows: int (R,), in any order"""
    from scipy.sparse import _sparsetools

    wanted = rows.astype(matrix.indices.dtype, copy=False)
    start = np.zeros(len(wanted) + 1, dtype=wanted.dtype)
    np.cumsum(matrix.indptr[wanted + 1] - matrix.indptr[wanted], out=start[1:])
    columns = np.empty(start[-1], dtype=matrix.indices.dtype)
    values = np.empty(start[-1], dtype=matrix.dtype)
    _sparsetools.csr_row_index(
        len(wanted), wanted, matrix.indptr, matrix.indices, matrix.data, columns, values
    )
    return values, columns, start


def times(values: np.ndarray, columns: np.ndarray, start: np.ndarray, dense: np.ndarray) -> np.ndarray:
    """float32 (R, n): the product of a CSR matrix (R, K) with `dense`, float32 (K, n).

    values: float32 (N,); columns: int32 or int64 (N,); start: of the same type, (R + 1,)
    """
    from scipy.sparse import _sparsetools

    rows, (inner, wide) = len(start) - 1, dense.shape
    found = np.zeros((rows, wide), dtype=np.float32)
    if wide == 1:
        _sparsetools.csr_matvec(rows, inner, start, columns, values, dense.ravel(), found.ravel())
    else:
        _sparsetools.csr_matvecs(rows, inner, wide, start, columns, values, dense.ravel(), found.ravel())
    return found
