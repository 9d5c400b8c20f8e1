"""Principal components of the pixels (Pearson 1901), for comparators that need few inputs."""

import numpy as np
from sklearn.decomposition import PCA


def projected(
    components: int, pixels: np.ndarray, asked: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """pixels (N, D), asked (M, D), both float32 -> their first components, (N, K), (M, K), of `pixels`."""
    projection = PCA(min(components, *pixels.shape), svd_solver="randomized", random_state=seed)
    return projection.fit_transform(pixels), projection.transform(asked)
