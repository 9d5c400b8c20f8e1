"""One weighted sum of the pixels a class, fitted to the optimum: Cox 1958, Berkson 1944.

What a perceptron (networks/perceptron.py) can reach at best.
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from pipeline.tasks.image_classification.parameters import LogisticRegression as Params


def answers(
    params: Params, pixels: np.ndarray, labels: np.ndarray, asked: np.ndarray, seed: int
) -> np.ndarray:
    classifier = LogisticRegression(C=params.c, max_iter=params.iterations, random_state=seed)
    with warnings.catch_warnings():  # that the iterations are bounded is meant
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(pixels, labels)
    found: np.ndarray = classifier.predict(asked)
    return found
