"""Pilot trainings on growing parts of the training images."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import ParameterError
from pipeline.tasks.image_classification.data.dataset import read_split
from pipeline.tasks.image_classification.data.pixel_statistics import channel_statistics
from pipeline.tasks.image_classification.parameters import Forecast
from pipeline.training.pilots import Pilots, extrapolate


def forecast(params: Any, prepared: Path, picture: Path) -> dict[str, Any]:
    """What the accuracy with all training images will be; also drawn to `picture`.

    The pilots' recipe is shorter than that of `train`: the forecast is for that recipe, and so a
    cautious one for the long training.
    """
    import lightning
    from tqdm import tqdm

    from pipeline.tasks.image_classification.learning import fitting, networks

    pilots: Forecast = params.forecast
    train, val = read_split(prepared / "train"), read_split(prepared / "val")
    if max(pilots.train_sizes) > len(train):
        raise ParameterError(
            f"params.yaml: forecast.train_sizes: {max(pilots.train_sizes)} is more than the "
            f"{len(train)} training images that there are."
        )
    rng = np.random.default_rng(pilots.seed)
    runs = [(size, repeat) for size in pilots.train_sizes for repeat in range(pilots.repeats)]
    errors = []
    for size, repeat in tqdm(runs, desc="pilot trainings", unit="pilot"):
        rows = np.sort(rng.choice(len(train), size, replace=False))
        pixels, labels = train.pixels[rows], train.labels[rows]
        lightning.seed_everything(pilots.seed + repeat, verbose=False)
        network = networks.build(
            pilots.recipe.network, params.collect.image, len(params.collect.classes),
            *channel_statistics(pixels),
        )  # fmt: skip
        fitting.fit(network, pilots.recipe, pilots.seed + repeat, (pixels, labels))
        errors.append(float(np.mean(fitting.predict(network, val.pixels).argmax(1) != val.labels)))
    sizes = np.array([size for size, _ in runs])
    least = 0.5 / len(val)  # a pilot without a single error counts as half an error
    observed = np.maximum(errors, least)
    noise = np.sqrt(observed * (1 - observed) / len(val))
    found = Pilots("training images", sizes, [repeat for _, repeat in runs], np.array(errors), noise, least)
    return extrapolate(
        found, len(train), params.goals.accuracy_min, draws=pilots.draws, seed=pilots.seed, picture=picture
    )
