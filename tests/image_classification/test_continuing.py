"""Going on from a trained classifier: what is taken over, what stays frozen, what is forgotten."""

import shutil
import signal
import time
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
import yaml

from pipeline import train
from pipeline.core import model_package, registry, seen_items, stage, tracking
from pipeline.core.artifacts import read_json
from pipeline.core.errors import IncompatibleModel, Interrupted, ModelError, ParameterError
from pipeline.core.parameters import Start
from pipeline.core.paths import Paths
from pipeline.core.stage import Evidence
from pipeline.core.tracking import StageRun
from pipeline.tasks.image_classification.data.dataset import read_split, write_split
from pipeline.tasks.image_classification.learning import continuing, fitting, networks
from pipeline.tasks.image_classification.parameters import Parameters
from pipeline.training import starting, taking_over
from pipeline.training.resuming import Checkpoints
from tests import synthetic_digits
from tests.image_classification.test_resuming import Signalled

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
OLD = ("0", "1", "2", "3")
ROWS = {"train": 320, "val": 160}


@pytest.fixture
def paths(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A project of four classes, ready to be trained on."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workspace / 'mlflow.db'}")
    paths = Paths(workspace, "digits")
    change(paths, "collect", classes=list(OLD))
    change(paths, "train", epochs=6, precision="float32", label_smoothing=0.0)
    prepare(paths, range(4))
    return paths


def prepare(paths: Paths, classes: range, seed: int = 0, name: str = "old", keep: bool = False) -> None:
    """Writes train and val with pictures of these classes, beside those that are there already if `keep`."""
    for part, rows in ROWS.items():
        rng = np.random.default_rng([seed, rows])
        labels = rng.permutation(np.resize(np.array(classes), rows))
        pixels = synthetic_digits.draw(labels, rng)[:, None]
        ids = np.array([f"{name}-{part}-{i}" for i in range(rows)])
        folder = paths.prepared / part
        if keep:
            there = [np.load(folder / f"{each}.npy") for each in ("images", "labels", "ids")]
            pixels, labels, ids = (
                np.concatenate(both) for both in zip(there, (pixels, labels, ids), strict=True)
            )
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_split(folder, pixels, labels, ids, np.arange(len(labels)))


def change(paths: Paths, section: str, **values: Any) -> None:
    content = yaml.safe_load((paths.root / "params.yaml").read_text())
    content["projects"]["digits"][section] |= values
    (paths.root / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def start(**changes: Any) -> dict[str, Any]:
    shown = {"from": "champion", "freeze": [], "learning_rate_factor": 0.3, "margin": 0.02, "draws": 500}
    return shown | changes


def trained(paths: Paths) -> Evidence:
    return stage.execute("train", paths, train.run, train.PARAMS, time.time())


def promote(paths: Paths) -> registry.Version:
    """Registers what `train` left and makes it the champion, as `register` does."""
    run = StageRun(paths, "register", time.time())
    version = registry.register(run, paths.model, {})
    registry.set_alias(run.client, version, registry.CHAMPION, "for the test")
    return version


def recipe(paths: Paths) -> Any:
    section = yaml.safe_load((paths.root / "params.yaml").read_text())["projects"]["digits"]
    return Parameters.model_validate(section)


@pytest.mark.slow
def test_going_on_with_more_data_keeps_the_old_and_forgetting_it_is_noticed(paths: Paths) -> None:
    assert trained(paths).gates == ()
    assert read_json(paths.model / model_package.DESCRIPTION)["started_from"] is None
    version = promote(paths)

    change(paths, "collect", classes=[*OLD, "4", "5"])
    change(paths, "train", start=start())
    prepare(paths, range(4, 6), seed=1, name="new", keep=True)
    kept = trained(paths)
    assert kept.summary.startswith("begun with digits version 1: ")
    assert [gate.passed for gate in kept.gates] == [True]
    assert kept.metrics["old_items"] == ROWS["val"] and kept.metrics["old_score_before"] > 0.6
    described = read_json(paths.model / model_package.DESCRIPTION)
    assert described["started_from"] == {
        "model": "digits",
        "version": "1",
        "sha256": version.sha256,
        "data_sha256": described["started_from"]["data_sha256"],
    }
    chosen = seen_items.numbers(np.load(paths.prepared / "val" / "ids.npy"))
    assert set(seen_items.read(paths.model)[1]) == set(chosen)

    # The same once more is the same, to the bit.
    first = model_package.verify(paths.model)["files"]
    trained(paths)
    assert model_package.verify(paths.model)["files"] == first

    # Only the new classes, at full rate: what was known of the old ones is gone.
    folder = paths.prepared / "train"
    images, labels, ids = (np.load(folder / f"{each}.npy") for each in ("images", "labels", "ids"))
    shutil.rmtree(folder)
    write_split(folder, images, labels, ids, np.flatnonzero(labels >= 4))
    change(paths, "train", start=start(learning_rate_factor=3.0))
    lost = trained(paths)
    (gate,) = lost.gates
    assert not gate.passed and gate.value < -0.3 and gate.revisit == "training"
    assert lost.metrics["old_score_after"] < lost.metrics["old_score_before"]


def test_rows_of_the_last_layer_go_by_the_names_of_the_classes(paths: Paths) -> None:
    params = recipe(paths)
    old, beginning = package(paths, params, ("1", "3", "x"))
    torch.manual_seed(7)
    fresh = networks.build(params.train.network, params.collect.image, 4, [0.5], [0.2])
    drawn = fresh.get_parameter("head.weight").detach().clone()
    taking(fresh, beginning, params)
    taken = fresh.state_dict()
    assert torch.equal(taken["stem.0.weight"], old["stem.0.weight"])
    assert torch.equal(taken["offset"], old["offset"])
    assert torch.equal(taken["head.weight"][[1, 3]], old["head.weight"][[0, 1]])
    assert torch.equal(taken["head.weight"][[0, 2]], drawn[[0, 2]])


def test_a_network_of_another_shape_is_refused_with_both_shapes(paths: Paths) -> None:
    params = recipe(paths)
    old, beginning = package(paths, params, OLD)
    seen = old["head.weight"].shape[1]
    wider = params.train.network.model_copy(update={"channels": (8, 32)})
    fresh = networks.build(wider, params.collect.image, 4, [0.5], [0.2])
    with pytest.raises(IncompatibleModel, match=rf"head.weight \(4, {seen}\), here \(4, {2 * seen}\)"):
        taking(fresh, beginning, params.model_copy(update={"train": recipe_with(params, wider)}))


def test_what_has_learnt_from_the_validation_images_is_refused(paths: Paths) -> None:
    params = recipe(paths)
    _, beginning = package(paths, params, OLD)
    leaking = continuing.refuse_leak
    val = read_split(paths.prepared / "val")
    seen_items.write(beginning.package, np.array(["elsewhere"]), val.ids, None)
    leaking(beginning, val)
    seen_items.write(beginning.package, val.ids[:7], val.ids, None)
    with pytest.raises(ModelError, match=r"digits version 1 has learnt from 7 of the 160 validation images"):
        leaking(beginning, val)


def test_frozen_parts_stay_as_they_are_and_learn_no_statistics(paths: Paths) -> None:
    params = recipe(paths)
    torch.manual_seed(0)
    network = networks.build(params.train.network, params.collect.image, 4, [0.5], [0.2])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    taking_over.freeze(network, ["stem", "stages.0"])
    split = read_split(paths.prepared / "train")
    fitting.fit(
        network, params.train, 1, (split.pixels[:64], split.labels[:64]), callbacks=[taking_over.KeepFrozen()]
    )
    after = network.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert {name for name in changed if name.startswith(("stem", "stages.0"))} == set()
    assert {"head.weight", "stages.1.conv1.weight", "stages.1.bn1.running_mean"} <= changed


def test_frozen_parts_learn_no_statistics_after_an_interruption_within_an_epoch(
    paths: Paths, tmp_path: Path
) -> None:
    params = recipe(paths)
    split = read_split(paths.prepared / "train")
    checkpoint, found = tmp_path / "last.ckpt", []
    short = params.train.model_copy(update={"epochs": 1, "batch_size": 16})
    for interrupted in (False, True):
        torch.manual_seed(0)
        network = networks.build(params.train.network, params.collect.image, 4, [0.5], [0.2])
        taking_over.freeze(network, ["stem", "stages.0"])

        def train(*more: lightning.Callback, network: torch.nn.Module = network) -> None:
            callbacks = [taking_over.KeepFrozen(), *more, Checkpoints(checkpoint, 1e9)]
            fitting.fit(
                network, short, 1, (split.pixels[:64], split.labels[:64]), callbacks=callbacks,
                resume_from=str(checkpoint) if checkpoint.is_file() else None,
            )  # fmt: skip

        if interrupted:
            with pytest.raises(Interrupted):
                train(Signalled(2, signal.SIGTERM))
        else:
            before = {name: value.clone() for name, value in network.state_dict().items()}
        train()
        found.append(network.state_dict())
        checkpoint.unlink()
    whole, resumed = found
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert torch.equal(resumed["stem.1.running_mean"], before["stem.1.running_mean"])


def test_freezing_what_is_not_there_or_everything_is_refused(paths: Paths) -> None:
    params = recipe(paths)
    network = networks.build(params.train.network, params.collect.image, 4, [0.5], [0.2])
    with pytest.raises(ParameterError, match=r"'trunk' is no part of the network. It has head, stages, stem"):
        taking_over.freeze(network, ["trunk"])
    with pytest.raises(ParameterError, match="none is left to train"):
        taking_over.freeze(network, ["stem", "stages", "head"])


def test_a_model_that_is_not_registered_is_asked_for_in_words(paths: Paths) -> None:
    tracking.client(paths)
    for wanted, told in (("champion", "champion of digits"), ("pets/3", "version 3 of pets")):
        with pytest.raises(ModelError, match=f"has no registered {told}.*dvc repro register@"):
            starting.version(paths, Start.model_validate(start(**{"from": wanted})))
    assert starting.version(paths, None) is None


def test_without_an_old_item_the_check_fails_instead_of_passing_unmeasured() -> None:
    nothing = np.empty(0)
    figures, gate = starting.forgetting(nothing, nothing, Start.model_validate(start()), 1)
    assert figures == {"old_items": 0.0} and not gate.passed and gate.as_json()["value"] is None


def package(paths: Paths, params: Any, classes: tuple[str, ...]) -> tuple[dict, starting.Beginning]:
    """Weights of an untrained network for `classes` as a package that one can begin with."""
    from safetensors.torch import save_file

    torch.manual_seed(1)
    network = networks.build(params.train.network, params.collect.image, len(classes), [0.3], [0.4])
    folder = paths.root / "package"
    folder.mkdir()
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(weights, folder / model_package.WEIGHTS)
    (folder / model_package.NETWORK).write_bytes(b"a graph stands here")
    model_package.describe(folder, {"task": "image_classification", "classes": list(classes)})
    return weights, starting.Beginning(registry.Version("digits", "1", "0" * 64), folder, own=True)


def taking(network: torch.nn.Module, beginning: starting.Beginning, params: Any) -> None:
    continuing.take_over(network, beginning, params.train, params.collect)


def recipe_with(params: Any, network: Any) -> Any:
    return params.train.model_copy(update={"network": network})
