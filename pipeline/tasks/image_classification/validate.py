"""What an image table must look like."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from pipeline.core.expectations import Table
from pipeline.tasks.image_classification.data import items, splitting
from pipeline.tasks.image_classification.parameters import Prepare

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations import Expectation


def tables(params: Any, collected: Path, labelled: Path) -> Iterator[Table]:
    frame = table(collected, labelled, len(params.collect.classes), params.prepare)
    yield Table("images", frame, suite(params))


def table(collected: Path, labelled: Path, classes: int, prepare: Prepare) -> "pd.DataFrame":
    """One row an image: the image table, its label and audit, and what its pixels look like.

    Columns beside those of items.parquet: doubtful (bool), share_of_K (bool, is of class K), height,
    width, channels, ink (mean of the pixels in [0, 1]), copy (another image has the same pixels),
    in_both_parts (the same pixels stand among the images to learn from and the unseen ones; where these
    are drawn, only copies in different groups can).
    """
    rows, pixels = items.read(collected)
    audit = pq.read_table(labelled / "labels.parquet", columns=["label", "doubtful"])
    frame: pd.DataFrame = rows.drop_columns(["label"]).to_pandas()
    frame["label"] = audit["label"].to_numpy()
    frame["doubtful"] = audit["doubtful"].to_numpy()
    for k in range(classes):
        frame[f"share_of_{k}"] = frame["label"] == k
    frame["channels"], frame["height"], frame["width"] = pixels.shape[1:]
    frame["ink"] = pixels.reshape(len(pixels), -1).mean(axis=1, dtype=np.float64) / 255
    frame["copy"] = frame.duplicated("content", keep="first")
    unseen = splitting.assign(rows, prepare) == "test"
    frame["in_both_parts"] = ~unseen & frame["content"].isin(set(frame.loc[unseen, "content"]))
    return frame


def suite(params: Any) -> Sequence["Expectation"]:
    import great_expectations.expectations as gxe

    collect, limits = params.collect, params.validate
    classes = len(collect.classes)
    return [
        gxe.ExpectColumnValuesToNotBeNull(column="item_id"),
        gxe.ExpectColumnValuesToBeUnique(column="item_id"),
        gxe.ExpectColumnValuesToNotBeNull(column="label"),
        gxe.ExpectColumnValuesToBeInSet(column="label", value_set=list(range(classes))),
        gxe.ExpectColumnDistinctValuesToContainSet(column="label", value_set=list(range(classes))),
        *(
            gxe.ExpectColumnMeanToBeBetween(column=f"share_of_{k}", min_value=limits.label_share_min)
            for k in range(classes)
        ),
        gxe.ExpectColumnValuesToBeInSet(column="height", value_set=[collect.image.height]),
        gxe.ExpectColumnValuesToBeInSet(column="width", value_set=[collect.image.width]),
        gxe.ExpectColumnValuesToBeInSet(column="channels", value_set=[collect.image.channels]),
        gxe.ExpectColumnValuesToBeBetween(
            column="ink", min_value=limits.ink_mean_min, max_value=limits.ink_mean_max
        ),
        gxe.ExpectColumnMeanToBeBetween(column="copy", max_value=limits.duplicate_share_max),
        gxe.ExpectColumnSumToBeBetween(column="in_both_parts", max_value=limits.test_overlap_max),
        gxe.ExpectColumnMeanToBeBetween(column="doubtful", max_value=limits.doubtful_share_max),
    ]
