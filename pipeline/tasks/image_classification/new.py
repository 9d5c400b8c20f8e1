"""A user's own pictures as a project: looks at them, and says what their section of params.yaml must say.

Classes are the folders; size, amounts and bounds come from the pictures, which go through `collect` once, in
a folder that is thrown away. Everything else is taken over from the project that the new one is made like.
"""

import argparse
import copy
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipeline.core.errors import ParameterError
from pipeline.core.paths import Paths
from pipeline.projects.new_project import Change, place

OPTION = "images"
OPTION_HELP = "folder of pictures, one folder a class"
LIKE = "digits"
PIXELS_MAX = 50_000_000  # of one picture
SMALLEST_SLICE = 30  # images, for a slice to be judged where there are few
LEAST_SHARE = 0.8  # of what is there now that a later collection must bring
MARGIN = 1.25  # over what was met, of bounds that the shipped ones do not allow for
TELLABLE = 10  # unseen images that a new model may lose: it takes 4 to show that two agree on every one
LEAST_PER_CLASS = 20  # images, to learn from some and to be tested on others
OUTLIERS = ["blank", "noise"]  # of no subject; what else does not belong, people who know the pictures say
OUT_OF_SCOPE = [
    "Pictures of anything but the classes; they are answered with one of them all the same.",
    "Decisions about people that rest on one answer without a check.",
]
TEST_SHARE = 0.2
FEW_IMAGES = 10_000  # fewer need a larger share to choose by
VAL_SHARE_OF_FEW = 0.15
DOUBTFUL_SHARE = 0.1  # networks that learn from few images doubt more labels than those of MNIST
LEAST_STEPS = {"label": 500, "forecast": 300, "train": 1500}  # of the optimiser, however few the images
EPOCHS_MAX = 60
# Shares of evaluate that must be reached, which depend on the pictures.
FLOORS = (
    ("robustness", "floors"),
    ("behaviour", "invariance"),
    ("behaviour", "less_sure"),
    ("behaviour", "unsure"),
)
SINGLE_FLOORS = (("behaviour", "typical"), ("attributions", "deletion_gain_min"))
REST_PER_STRIDE = 2  # pixels a side that must remain after all strides
RISKS = [
    "What production sees may look unlike these pictures; watch its confidence and the drift report.",
    "A picture of none of the classes is answered too, with one of them.",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing beside the folder: everything else is in the pictures."""


def changes(
    arguments: argparse.Namespace, shipped: Mapping[str, Any], paths: Paths
) -> tuple[list[Change], list[str]]:
    """What differs from `shipped`, the section of the project to be like; and what was met, in words."""
    from pipeline.core.artifacts import sha256_of_folder
    from pipeline.tasks.image_classification import new_pictures

    root = arguments.images
    classes = new_pictures.class_names(root)
    seen = new_pictures.look(root, PIXELS_MAX)
    source = {
        "name": paths.project,
        "kind": "folder",
        "path": place(root, paths.root),
        "sha256": sha256_of_folder(root),
        "licence": arguments.licence,
        "format": "folder",
        "pixels_max": PIXELS_MAX,
    }
    image = {"height": seen.height, "width": seen.width, "channels": seen.channels}
    section = copy.deepcopy(dict(shipped))
    section["collect"] = {"classes": classes, "image": image, "sources": [source]}
    section["prepare"] |= {"test_share": TEST_SHARE, "salt": f"{paths.project}-1"}
    with tempfile.TemporaryDirectory() as folder:
        met = _look(section, paths, Path(folder))
    _refuse_strides(section, min(seen.height, seen.width))
    sizes = met["sizes"]
    found: dict[tuple[str, ...], Any] = {
        ("plan", "purpose"): f"Tell the classes of {paths.project} apart: {', '.join(classes)}.",
        ("plan", "users"): "People and programs that send a picture and act on the answer.",
        ("plan", "decision"): "A picture classified with low confidence goes to a person instead.",
        ("plan", "allowed_licences"): [arguments.licence],
        ("plan", "min_items"): math.ceil(met["items"] * LEAST_SHARE),
        ("plan", "min_items_per_class"): math.ceil(met["smallest_class"] * LEAST_SHARE),
        ("collect", "classes"): classes,
        **{("collect", "image", key): value for key, value in image.items()},
        ("label", "policy", "guidelines"): "The class whose folder a picture was put into.",
        ("label", "policy", "labelled_by"): "Whoever put the pictures into the folders.",
        ("validate", "outlier_kinds"): OUTLIERS,
        ("prepare", "test_share"): TEST_SHARE,
        ("prepare", "val_share"): met["val_share"],
        ("prepare", "salt"): section["prepare"]["salt"],
        ("register", "margin"): max(shipped["register"]["margin"], round(TELLABLE / sizes["test"], 4)),
        ("evaluate", "slices", "smallest"): min(
            shipped["evaluate"]["slices"]["smallest"], max(SMALLEST_SLICE, sizes["test"] // 10)
        ),
        ("deploy", "samples"): min(shipped["deploy"]["samples"], sizes["test"]),
        ("monitor", "window"): min(shipped["monitor"]["window"], max(30, sizes["test"] // 2)),
    }
    learning = _learning(shipped, met["items"], sizes["train"], min(seen.height, seen.width))
    bounds = _bounds(shipped, met)
    found |= learning | bounds | _without_floors(shipped)
    found |= _expected(shipped, found, met, image)
    widened = {key: value for key, value in found.items() if key in bounds or "resources" in key}
    said = [f"{'.'.join(key)} {value}" for key, value in widened.items()]
    told = [
        f"{met['items']:,} pictures of {len(classes)} classes, {met['smallest_class']:,} of the rarest; "
        f"{seen.sizes}, read as {seen.width} x {seen.height} in "
        f"{'colour' if seen.channels == 3 else 'grey'}; {sizes['train']:,} to learn from, "
        f"{sizes['val']:,} to choose by, {sizes['test']:,} unseen",
        *([f"Other bounds than those of the project it is like: {', '.join(said)}."] if said else []),
        *(f"Left out: {fault}" for fault in met["faults"]),
    ]
    changed = [Change(key, value) for key, value in found.items()]
    inbox = {"name": "inbox", "kind": "inbox", "licence": arguments.licence, "pixels_max": PIXELS_MAX}
    blocks = [
        Change(("plan", "risks"), RISKS, True),
        Change(("plan", "out_of_scope"), OUT_OF_SCOPE, True),
        Change(("collect", "sources"), [source, inbox], True),
    ]
    return changed + blocks, told


def _look(section: Mapping[str, Any], paths: Paths, folder: Path) -> dict[str, Any]:
    """What `collect` and the split find in the pictures."""
    import csv

    import numpy as np

    from pipeline.tasks.image_classification import collect
    from pipeline.tasks.image_classification.data import items, splitting
    from pipeline.tasks.image_classification.data.listing import FAULTS
    from pipeline.tasks.image_classification.parameters import Charter, Collect, Prepare

    params = SimpleNamespace(plan=Charter(**section["plan"]), collect=Collect(**section["collect"]))
    figures = collect.collect(params, paths, folder).metrics
    if figures["smallest_class"] < LEAST_PER_CLASS:
        raise ParameterError(
            f"the rarest class has {figures['smallest_class']} usable pictures, but at least "
            f"{LEAST_PER_CLASS} are needed to learn from some and to test on others. Bring more of it, or "
            "take its folder out."
        )
    table, pixels = items.read(folder)
    few = table.num_rows < FEW_IMAGES
    val_share = max(section["prepare"]["val_share"], VAL_SHARE_OF_FEW if few else 0)
    split = splitting.assign(table, Prepare(**section["prepare"] | {"val_share": val_share}))
    ink = [float(image.mean()) / 255 for image in pixels]
    with (folder / FAULTS).open(newline="") as file:
        faults = [f"{row['item']}: {row['what']}" for row in csv.DictReader(file)]
    contents = table["content"].to_pylist()
    return {
        "items": table.num_rows,
        "smallest_class": int(figures["smallest_class"]),
        "few": few,
        "val_share": val_share,
        "sizes": {name: int(np.sum(split == name)) for name in splitting.SPLITS},
        "ink": (min(ink), max(ink)),
        "duplicate_share": 1 - len(set(contents)) / len(contents),
        "faults": faults[: collect.FAULTS_TOLD],
        "faulty_share": len(faults) / (len(faults) + table.num_rows),
    }


def _refuse_strides(section: Mapping[str, Any], side: int) -> None:
    from pydantic import TypeAdapter

    from pipeline.tasks.image_classification.recipe_parameters import Network

    for name, recipe in _recipes(section).items():
        network: Network = TypeAdapter(Network).validate_python(recipe["network"])
        if side < network.shrinks * REST_PER_STRIDE:
            raise ParameterError(
                f"the network of {name} shrinks a picture by {network.shrinks}, which leaves nothing of "
                f"{side} pixels. Name a project of smaller strides with --like."
            )


def _recipes(section: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    named = {name: section[name]["recipe"] for name in ("label", "forecast")}
    return named | {"train": section["train"]}


def _learning(shipped: Mapping[str, Any], items: int, train: int, side: int) -> dict[tuple[str, ...], Any]:
    """Recipes and pilots for as many images; smaller batches and more epochs where there are few."""
    pilots = list(shipped["forecast"]["train_sizes"])
    if pilots[-1] * 2 > train:
        pilots = [train // parts for parts in (8, 4, 2)]
    found: dict[tuple[str, ...], Any] = {
        ("forecast", "train_sizes"): pilots,
        ("ablate", "images"): min(shipped["ablate"]["images"], train),
    }
    folds = shipped["label"]["folds"]
    audited = items * (folds - 1) // folds
    learnt_from = {"label": audited, "forecast": pilots[len(pilots) // 2], "train": train}
    for name, recipe in _recipes(shipped).items():
        place = (name,) if name == "train" else (name, "recipe")
        count = learnt_from[name]
        batch = min(recipe["batch_size"], max(16, 2 ** int(math.log2(max(count // 64, 1)))))
        epochs = math.ceil(LEAST_STEPS[name] * batch / count)
        rate = recipe["learning_rate"] * math.sqrt(batch / recipe["batch_size"])
        found |= {
            (*place, "batch_size"): batch,
            (*place, "epochs"): max(recipe["epochs"], min(epochs, EPOCHS_MAX)),
            (*place, "learning_rate"): float(f"{rate:.2g}"),
        }
        side_of_shipped = shipped["collect"]["image"]["height"]
        if side == side_of_shipped:
            continue  # the same network, so that it can go on from the shipped project's
        if "stem_padding" in recipe["network"]:  # the border of these pictures may say something
            found[(*place, "network", "stem_padding")] = recipe["network"]["stem_kernel"] // 2
        if recipe["augmentation"]:
            shift = recipe["augmentation"]["max_shift"] * side / side_of_shipped
            found[(*place, "augmentation", "max_shift")] = round(shift, 1)
    return found


def _bounds(shipped: Mapping[str, Any], met: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """The shipped bounds, widened a little beyond what was met where they would not hold."""
    limits, (darkest, brightest) = shipped["validate"], met["ink"]
    found: dict[tuple[str, ...], Any] = {}
    for key, value in (("label_share_min", met["smallest_class"] / met["items"]), ("ink_mean_min", darkest)):
        if value < limits[key] * MARGIN:
            found["validate", key] = math.floor(value / MARGIN * 1e4) / 1e4
    most = {
        ("validate", "ink_mean_max"): brightest,
        ("validate", "duplicate_share_max"): met["duplicate_share"],
        ("plan", "faulty_files_share_max"): met["faulty_share"],
    }
    for (stage, key), value in most.items():
        if value > shipped[stage][key]:
            found[stage, key] = min(1.0, math.ceil(value * MARGIN * 1e4) / 1e4)
    # How well near duplicates of such pictures are found, the first pass measures.
    found["validate", "near_duplicate_recall_min"] = 0.0
    if met["few"] and limits["doubtful_share_max"] < DOUBTFUL_SHARE:
        found["validate", "doubtful_share_max"] = DOUBTFUL_SHARE
    return found


def _without_floors(shipped: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """What such pictures and such a network bear, the first pass measures; people then state the floors."""
    evaluate = shipped["evaluate"]
    named = [(part, key, name) for part, key in FLOORS for name in evaluate[part][key]]
    return {("evaluate", *place): None for place in (*named, *SINGLE_FLOORS)}


def _expected(
    shipped: Mapping[str, Any],
    found: Mapping[tuple[str, ...], Any],
    met: Mapping[str, Any],
    image: Mapping[str, int],
) -> dict[tuple[str, ...], Any]:
    """What planning assumes, and the resources where those shipped would not do."""
    from pipeline.core.resources import estimate
    from pipeline.tasks.image_classification import plan
    from pipeline.tasks.image_classification.parameters import Charter, Goals

    old = shipped["collect"]["image"]
    area = image["height"] * image["width"]
    pilots = sum(found["forecast", "train_sizes"]) * shipped["forecast"]["repeats"]
    images = (
        found["train", "epochs"] * met["sizes"]["train"]
        + found["label", "recipe", "epochs"] * met["items"] * (shipped["label"]["folds"] - 1)
        + found["forecast", "recipe", "epochs"] * pilots
    )
    mflop = shipped["plan"]["expected"]["network_mflop"] * area / (old["height"] * old["width"])
    expected = shipped["plan"]["expected"] | {
        "items": met["items"],
        "test_items": met["sizes"]["test"],
        "bytes_per_item": area * image["channels"],
        "network_mflop": round(mflop, 1),
        "passes": math.ceil(images / met["items"] * 10) / 10,
    }
    charter = shipped["plan"] | {"expected": expected}
    for (section, *rest), value in found.items():
        if section == "plan":
            charter[rest[0]] = value
    checked = Charter(**charter)
    precision = plan.goal_precision(Goals(**shipped["goals"]), checked.expected)
    if precision > expected["precision"]:
        expected["precision"] = math.ceil(precision * 1000) / 1000
    changed: dict[tuple[str, ...], Any] = {
        ("plan", "expected", key): value
        for key, value in expected.items()
        if value != shipped["plan"]["expected"][key]
    }
    needs = estimate(checked, plan)
    for key in ("minutes", "memory_gib", "disk_gib"):
        if needs[key] > shipped["plan"]["resources"][f"{key}_max"]:
            changed["plan", "resources", f"{key}_max"] = math.ceil(needs[key] * MARGIN)
    return changed
