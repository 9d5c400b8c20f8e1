"""What an image table must look like, and whether its parts and pictures are what they should be.

Writes, beside what the stage writes: leakage.csv, leakage.png (data/leakage.py), outliers.csv,
outliers.png (data/outliers.py).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.artifacts import read_json
from pipeline.core.errors import SourceError
from pipeline.core.expectations import Examination, Table
from pipeline.core.paths import Paths
from pipeline.tasks.image_classification.data import items, leakage, outliers, splitting

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations import Expectation

ITEMS = {
    **dict.fromkeys(("item_id", "source", "part", "file", "group", "content"), "string"),
    **dict.fromkeys(("source_index", "label"), "int64"),
}
LABELS = {"item_id": "string", "label": "int64", "doubtful": "bool"}


def validate(params: Any, paths: Paths, folder: Path) -> Examination:
    rows, pixels = items.read(paths.collected)
    labels = pq.read_table(paths.labelled / "labels.parquet")
    for file, found, schema in (
        (paths.collected / items.TABLE, rows, ITEMS),
        (paths.labelled / "labels.parquet", labels, LABELS),
    ):
        _check_schema(found, schema, f"{file.relative_to(paths.root)}")
    if len(pixels) != rows.num_rows:
        file = (paths.collected / items.PIXELS).relative_to(paths.root)
        raise SourceError(
            f"{file}: {len(pixels):,} images, but {items.TABLE} has {rows.num_rows:,} rows; each row needs "
            "its image. Remove the folder and run `dvc repro`, which makes it."
        )
    ids, content = (np.array(rows[name].to_pylist(), dtype=str) for name in ("item_id", "content"))
    unseen = splitting.assign(rows, params.prepare) == "test"
    leaked = leakage.examine(ids, pixels, content, unseen, params.validate, folder)
    strange, unusual = outliers.examine(ids, pixels, params.validate, folder)
    images = table(rows, pixels, labels, unseen, paths.collected, len(params.collect.classes))
    images["unusual"] = unusual
    return Examination(
        (
            Table("labels", label_table(labels, ids), label_suite(), key="item_id"),
            Table("images", images, image_suite(params), key="item_id"),
        ),
        (leaked, strange),
    )


def table(
    rows: pa.Table,
    pixels: np.ndarray,
    labels: pa.Table,
    unseen: np.ndarray,
    collected: Path,
    classes: int,
) -> "pd.DataFrame":
    """One row an image: the image table, its label and audit, and what its pixels look like.

    unseen: bool (N,), whether the split makes it a test image

    Columns beside those of items.parquet: label, doubtful (of the label stage), without_label (it has no
    such item), licence (of its source), share_of_K (bool, is of class K), height, width, channels, ink
    (mean of the pixels in [0, 1]), other_pixels (they are not those that were collected), copy (another
    image has the same pixels), in_both_parts (the same pixels stand among the images to learn from and the
    unseen ones; where these are drawn, only copies in different groups can).
    """
    frame: pd.DataFrame = rows.drop_columns(["label"]).to_pandas()
    known = labels.to_pandas().drop_duplicates("item_id").set_index("item_id")[["label", "doubtful"]]
    frame["without_label"] = ~frame["item_id"].isin(known.index)
    frame["label"] = known["label"].reindex(frame["item_id"]).to_numpy()
    frame["doubtful"] = known["doubtful"].reindex(frame["item_id"], fill_value=False).to_numpy()
    sources = read_json(collected / "provenance.json")["sources"]
    frame["licence"] = frame["source"].map({source["name"]: source["licence"] for source in sources})
    for k in range(classes):
        frame[f"share_of_{k}"] = frame["label"] == k
    frame["channels"], frame["height"], frame["width"] = pixels.shape[1:]
    frame["ink"] = pixels.reshape(len(pixels), -1).mean(axis=1, dtype=np.float64) / 255
    frame["other_pixels"] = [items.content(image) for image in pixels] != frame["content"]
    frame["copy"] = frame.duplicated("content", keep="first")
    frame["in_both_parts"] = ~unseen & frame["content"].isin(set(frame.loc[unseen, "content"]))
    return frame


def label_table(labels: pa.Table, ids: np.ndarray) -> "pd.DataFrame":
    """One row a label. without_item: no image of this item_id was collected. ids: str (N,) of the images"""
    frame: pd.DataFrame = labels.select(["item_id"]).to_pandas()
    frame["without_item"] = ~frame["item_id"].isin(ids)
    return frame


def label_suite() -> list["Expectation"]:
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToNotBeNull(column="item_id"),
        gxe.ExpectColumnValuesToBeUnique(column="item_id"),
        gxe.ExpectColumnSumToBeBetween(column="without_item", max_value=0),
    ]


def image_suite(params: Any) -> list["Expectation"]:
    """Captured images alone have a time in this table, so nothing is expected of their age."""
    import great_expectations.expectations as gxe

    plan, collect, limits = params.plan, params.collect, params.validate
    classes = range(len(collect.classes))
    sources = [source.name for source in collect.sources]
    sizes = {"height": collect.image.height, "width": collect.image.width, "channels": collect.image.channels}
    allowed: dict[str, list[Any]] = {
        "label": list(classes),
        "part": ["train", "test", ""],
        "source": sources,
        "licence": list(plan.allowed_licences),
        **{name: [size] for name, size in sizes.items()},
    }
    shares = {
        "copy": limits.duplicate_share_max,
        "doubtful": limits.doubtful_share_max,
        "unusual": limits.outlier_share_max,
    }
    sums = {"without_label": 0, "other_pixels": 0, "in_both_parts": limits.test_overlap_max}
    return [
        gxe.ExpectTableRowCountToBeBetween(min_value=plan.min_items),
        gxe.ExpectColumnValuesToBeUnique(column="item_id"),
        *(
            gxe.ExpectColumnValuesToNotBeNull(column=name)
            for name in ("item_id", "content", "source_index", *allowed)
        ),
        *(gxe.ExpectColumnValuesToBeInSet(column=name, value_set=values) for name, values in allowed.items()),
        gxe.ExpectColumnValuesToBeBetween(column="source_index", min_value=0),
        gxe.ExpectColumnDistinctValuesToContainSet(column="label", value_set=list(classes)),
        *(
            gxe.ExpectColumnSumToBeBetween(column=f"share_of_{k}", min_value=plan.min_items_per_class)
            for k in classes
        ),
        *(
            gxe.ExpectColumnMeanToBeBetween(column=f"share_of_{k}", min_value=limits.label_share_min)
            for k in classes
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="ink", min_value=limits.ink_mean_min, max_value=limits.ink_mean_max
        ),
        *(gxe.ExpectColumnMeanToBeBetween(column=name, max_value=most) for name, most in shares.items()),
        *(gxe.ExpectColumnSumToBeBetween(column=name, max_value=most) for name, most in sums.items()),
    ]


def _check_schema(found: pa.Table, schema: Mapping[str, str], file: str) -> None:
    """More columns than these are allowed; what is missing or of another type is not."""
    types = {field.name: str(field.type) for field in found.schema}
    wrong = [
        f"column {name} is {types.get(name, 'missing')}, allowed is {type_}"
        for name, type_ in schema.items()
        if types.get(name) != type_
    ]
    if wrong:
        raise SourceError(f"{file}: {'; '.join(wrong)}. Remove the file and run `dvc repro`, which makes it.")
