"""Support vector machine with a Gaussian kernel: Boser, Guyon and Vapnik 1992, Cortes and Vapnik 1995.

On principal components; the kernel's width is 1 over components times their variance (scikit-learn's
`scale`). Its time grows with the square of the images and more, so that `images` bounds them.
"""

import numpy as np
from sklearn.svm import SVC

from pipeline.tasks.image_classification.learning.shallow.components import projected
from pipeline.tasks.image_classification.parameters import Svm


def answers(params: Svm, pixels: np.ndarray, labels: np.ndarray, asked: np.ndarray, seed: int) -> np.ndarray:
    known, unknown = projected(params.components, pixels, asked, seed)
    found: np.ndarray = SVC(C=params.c, gamma="scale").fit(known, labels).predict(unknown)
    return found
