"""What networks that never saw an image, and networks that learnt it, make of its label."""

from dataclasses import dataclass

import lightning
import numpy as np
from scipy.special import softmax
from scipy.stats import rankdata
from tqdm import trange

from pipeline.core.statistics import Interval, paired_difference
from pipeline.tasks.image_classification.data.pixel_statistics import channel_statistics
from pipeline.tasks.image_classification.learning import fitting, networks
from pipeline.tasks.image_classification.learning.margins import MarginSums
from pipeline.tasks.image_classification.parameters import Collect, Label


@dataclass(frozen=True)
class Judgement:
    """probabilities: float32 (N, K) of each image, from the network that was not trained on it;
    aum: float32 (N,), the area under the margin of the label that it was given, mean over the epochs of
    the networks that were trained on it; NaN where every epoch left it out with its last batch."""

    probabilities: np.ndarray
    aum: np.ndarray


@dataclass(frozen=True)
class Effect:
    """What corrections brought: accuracy out of fold against the corrected labels, of networks trained on
    the labels before and after, the paired difference with its 95 % interval, and how many labels confident
    learning holds to be wrong."""

    accuracy_before: float
    accuracy_after: float
    gain: float
    interval: Interval
    doubtful_before: int
    doubtful_after: int


def out_of_fold(pixels: np.ndarray, labels: np.ndarray, params: Label, collect: Collect) -> Judgement:
    """pixels: uint8 (N, C, H, W); labels: int64 (N,). Folds and seeds depend on `params` and N alone."""
    rng = np.random.default_rng(params.seed)
    fold = rng.permutation(len(labels)) % params.folds
    probabilities = np.empty((len(labels), len(collect.classes)), dtype=np.float32)
    sums, counts = np.zeros((2, len(labels)), dtype=np.float32)
    for k in trange(params.folds, desc="label audit", unit="fold"):
        rest, held = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        mean, std = channel_statistics(pixels[rest])
        lightning.seed_everything(params.seed + k, verbose=False)
        network = networks.build(params.recipe.network, collect.image, len(collect.classes), mean, std)
        gathered = MarginSums(len(rest))
        train = (pixels[rest], labels[rest])
        fitting.fit(network, params.recipe, params.seed + k, train, callbacks=[gathered])
        probabilities[held] = softmax(fitting.predict(network, pixels[held]), axis=1)
        of_images, times = gathered.result()
        sums[rest] += of_images
        counts[rest] += times
    aum = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return Judgement(probabilities, aum)


def scores(aum: np.ndarray, self_confidence: np.ndarray) -> np.ndarray:
    """How far each label can be trusted, float64 (N,) in [0, 1]; low is doubtful.

    aum: float (N,), NaN where unknown; self_confidence: float (N,), probability of the label out of fold
    The mean of two ranks, each scaled to [0, 1]; of one, where there is no AUM. They err differently: a
    network that never saw an image may know its kind too little, one that was trained on it may have learnt
    its wrong label by heart.
    """
    return np.nanmean([_rank(aum), _rank(self_confidence)], axis=0)


def _rank(values: np.ndarray) -> np.ndarray:
    """0 for the lowest, 1 for the highest, equal values alike; NaN stays NaN."""
    ranks = rankdata(values, nan_policy="omit") - 1
    return ranks / max(np.count_nonzero(~np.isnan(values)) - 1, 1)


def confident_errors(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """bool (N,): labels that confident learning holds to be wrong.

    labels: int64 (N,); probabilities: float32 (N, K), out of fold
    A class that never occurs among `labels` cannot be counted; cleanlab needs all of them.
    """
    from cleanlab.filter import find_label_issues

    present = np.unique(labels)
    position = np.searchsorted(present, labels)
    shares = probabilities[:, present]
    shares = shares / shares.sum(1, keepdims=True)
    found: np.ndarray = find_label_issues(position, shares, n_jobs=1)
    return found


def doubtful(
    labels: np.ndarray, probabilities: np.ndarray, score: np.ndarray, settled: np.ndarray
) -> np.ndarray:
    """bool (N,): as many labels as confident learning holds to be wrong, those with the lowest scores.

    score: float (N,); settled: bool (N,), labels that a person looked at; they are doubted no more
    """
    count = np.count_nonzero(confident_errors(labels, probabilities) & ~settled)
    found = np.zeros(len(labels), dtype=bool)
    found[np.argsort(np.where(settled, np.inf, score), kind="stable")[:count]] = True
    return found


def effect(
    before: np.ndarray, after: np.ndarray, judged_before: Judgement, judged_after: Judgement, params: Label
) -> Effect:
    """before, after: labels int64 (N,) that the networks of each judgement were trained on."""
    right_before = judged_before.probabilities.argmax(1) == after
    right_after = judged_after.probabilities.argmax(1) == after
    gain, interval = paired_difference(right_after, right_before, draws=params.draws, seed=params.seed)
    return Effect(
        accuracy_before=float(right_before.mean()),
        accuracy_after=float(right_after.mean()),
        gain=gain,
        interval=interval,
        doubtful_before=int(confident_errors(before, judged_before.probabilities).sum()),
        doubtful_after=int(confident_errors(after, judged_after.probabilities).sum()),
    )
