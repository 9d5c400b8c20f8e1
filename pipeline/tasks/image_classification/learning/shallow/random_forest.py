"""The vote of decision trees on pixels, each grown on other images and other pixels: Breiman 2001."""

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from pipeline.tasks.image_classification.parameters import RandomForest


def answers(
    params: RandomForest, pixels: np.ndarray, labels: np.ndarray, asked: np.ndarray, seed: int
) -> np.ndarray:
    classifier = RandomForestClassifier(params.trees, random_state=seed, n_jobs=1)
    found: np.ndarray = classifier.fit(pixels, labels).predict(asked)
    return found
