"""The shallow comparator: what a method without a deep network reaches on the same images."""

import numpy as np

from pipeline.tasks.image_classification.data.dataset import Split

NAME = "nearest neighbours"
COMPONENTS = 40  # principal components
NEIGHBOURS = 3


def right(train: Split, test: Split, seed: int) -> np.ndarray:
    """bool (N,): where 3 nearest neighbours among 40 principal components are right about `test`.

    The best of the cheap classical methods on small images; fitted on the training part alone.
    """
    from sklearn.decomposition import PCA
    from sklearn.neighbors import KNeighborsClassifier

    components = min(COMPONENTS, len(train), train.pixels[0].size)
    projection = PCA(components, svd_solver="randomized", random_state=seed)
    classifier = KNeighborsClassifier(NEIGHBOURS, algorithm="brute", n_jobs=1)
    classifier.fit(projection.fit_transform(_flat(train)), train.labels)
    answers: np.ndarray = classifier.predict(projection.transform(_flat(test)))
    return answers == test.labels


def _flat(split: Split) -> np.ndarray:
    return split.pixels.reshape(len(split), -1).astype(np.float32) / 255
