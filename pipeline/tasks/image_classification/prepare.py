"""Splitting images (data/splitting.py) into arrays that load fast."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from pipeline.core.artifacts import write_json
from pipeline.core.errors import SourceError
from pipeline.tasks.image_classification.data import items, splitting
from pipeline.tasks.image_classification.data.dataset import write_split
from pipeline.tasks.image_classification.parameters import Prepare


def prepare(params: Prepare, collected: Path, labelled: Path, folder: Path) -> None:
    table, pixels = items.read(collected)
    labels = pq.read_table(labelled / "labels.parquet", columns=["item_id", "label"])
    if not labels["item_id"].equals(table["item_id"]):
        raise SourceError(f"{labelled}: its labels are not those of {collected}. Run `dvc repro` again.")
    split = splitting.assign(table, params)
    label, ids = labels["label"].to_numpy(), np.array(table["item_id"].to_pylist())
    sizes = {name: int((split == name).sum()) for name in splitting.SPLITS}
    _refuse_empty(sizes, params)
    for name in splitting.SPLITS:
        write_split(folder / name, pixels, label, ids, np.flatnonzero(split == name))
    write_json(folder / "sizes.json", sizes)


def _refuse_empty(sizes: dict[str, int], params: Prepare) -> None:
    empty = [name for name, size in sizes.items() if not size]
    if empty:
        raise SourceError(
            f"no image is left for {', '.join(empty)}: {sizes} images with params.yaml: prepare.test_share "
            f"{params.test_share:g} and prepare.val_share {params.val_share:g}. Raise the share "
            "(test_share where no source publishes a test part), or bring more images or groups."
        )
