"""What becomes champion in the registry answers here: taken when it is sound, refused when it is not."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pipeline.core import golden_set, model_package
from pipeline.core.artifacts import read_json
from pipeline.core.errors import ModelError, TrackingError
from serving import image_model
from serving.follower import Follower
from serving.follower_metrics import follower_metrics
from serving.image_application import ImageApplication, ImageState
from serving.package_store import PackageStore
from serving.registry_reader import CHALLENGER, CHAMPION, Registered, open_registry
from tests.imports import ROOT
from tests.serving.asgi_client import AsgiClient
from tests.serving.mlflow_registry import MlflowRegistry
from tests.serving.synthetic import SETTINGS, write_package

FOLLOW = SETTINGS.follow


class Service:
    """A state that follows a registry, a look at a time."""

    def __init__(self, folder: Path, empty_mlflow: Path, **settings: Any) -> None:
        self.folder = folder
        registry = folder / "registry"
        registry.mkdir()
        shutil.copy(empty_mlflow, registry / "mlflow.db")
        self.registry = MlflowRegistry(f"sqlite:///{registry}/mlflow.db", "digits", registry)
        self.state = ImageState()
        self.state.model = image_model.load(self.package(seed=0), "0")
        self.reader = open_registry(self.registry.uri, FOLLOW)
        self.store = PackageStore(folder / "kept", FOLLOW.keep)
        follow = FOLLOW.model_copy(update=settings)
        self.follower = Follower(self.state, self.reader, self.store, follow, (CHAMPION, CHALLENGER))

    def package(self, seed: int, *, golden: bool = True, **more: Any) -> Path:
        package = write_package(
            self.folder / f"package {seed} {len(list(self.folder.iterdir()))}", seed=seed, **more
        )
        if golden:
            add_golden_set(package)
        return package

    def champion(self, seed: int, **more: Any) -> str:
        """A new version that is champion."""
        version = self.registry.add(self.package(seed, **more))
        self.registry.point(CHAMPION, version)
        return version

    @property
    def version(self) -> str:
        return self.state.model.version

    @property
    def refused(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.follower.describe()["refused"]
        return found


def add_golden_set(package: Path, seed: int = 1) -> None:
    description = read_json(package / model_package.DESCRIPTION)
    shape = tuple(description["image"][name] for name in ("channels", "height", "width"))
    images = np.random.default_rng(seed).integers(0, 256, (16, *shape), dtype=np.uint8)
    golden_set.write(package, {"image": images}, ("probabilities",))
    describe_again(package, [golden_set.FILE])


def describe_again(package: Path, more: list[str]) -> None:
    """With the checksums of what lies there now, as somebody would who wants it to pass."""
    description = read_json(package / model_package.DESCRIPTION)
    kept = {key: value for key, value in description.items() if key not in ("format", "files")}
    model_package.describe(package, kept, more)


def change_weights(package: Path, change: Any) -> None:
    network = onnx.load(package / model_package.NETWORK)
    for tensor in network.graph.initializer:
        if tensor.name == "weights":
            tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), "weights"))
    onnx.save(network, package / model_package.NETWORK)


@pytest.fixture
def service(tmp_path: Path, empty_mlflow: Path) -> Service:
    return Service(tmp_path, empty_mlflow)


def count(counter: Any, *labels: str) -> float:
    found: float = (counter.labels(*labels) if labels else counter)._value.get()
    return found


def test_a_promotion_is_taken_over_and_a_rollback_too(service: Service) -> None:
    before = service.state.model
    first = service.champion(seed=1)
    assert service.follower.look()
    assert service.version == first
    taken = service.state.model
    second = service.champion(seed=2)
    service.follower.look()
    assert service.version == second
    assert service.state.model.sha256 != taken.sha256 != before.sha256
    service.registry.point(CHAMPION, first)
    service.follower.look()
    assert service.version == first
    assert service.state.model.sha256 == taken.sha256
    assert service.refused == []


def test_what_answers_is_what_was_registered(service: Service) -> None:
    package = service.package(seed=5)
    service.registry.point(CHAMPION, service.registry.add(package))
    service.follower.look()
    images = np.random.default_rng(3).integers(0, 256, (4, 1, 28, 28), dtype=np.uint8)
    expected = image_model.load(package, "0").probabilities(images)
    assert np.array_equal(service.state.model.probabilities(images), expected)


def test_nothing_is_loaded_where_nothing_changed(service: Service) -> None:
    service.champion(seed=1)
    service.follower.look()
    there = service.state.model
    for _ in range(3):
        service.follower.look()
    assert service.state.model is there


def test_a_request_that_has_begun_keeps_its_model(service: Service) -> None:
    held = service.state.model
    service.champion(seed=1)
    service.follower.look()
    assert service.state.model is not held
    assert held.probabilities(np.zeros((1, 1, 28, 28), dtype=np.uint8)).shape == (1, 10)


def test_a_registry_without_a_champion_changes_nothing(service: Service) -> None:
    service.follower.look()
    assert service.version == "0"
    version = service.champion(seed=1)
    service.follower.look()
    service.registry.client.delete_registered_model_alias("digits", CHAMPION)
    service.follower.look()
    assert service.version == version


def test_the_challenger_comes_and_goes_beside_the_champion(service: Service) -> None:
    service.champion(seed=1)
    challenger = service.registry.add(service.package(seed=2))
    service.registry.point(CHALLENGER, challenger)
    service.follower.look()
    assert service.state.challenger is not None
    assert (service.version, service.state.challenger.version) == ("1", challenger)
    service.registry.point(CHAMPION, challenger)  # what is promoted is no challenger any more
    service.follower.look()
    assert (service.version, service.state.challenger) == (challenger, None)


@pytest.mark.parametrize("spoil", ["damaged", "unreachable"])
def test_who_is_challenger_no_longer_is_asked_no_longer_whoever_comes(
    service: Service, spoil: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.registry.point(CHALLENGER, service.registry.add(service.package(seed=1)))
    service.follower.look()
    assert service.state.challenger is not None
    other = service.registry.add(service.package(seed=2))
    service.registry.point(CHALLENGER, other)
    if spoil == "damaged":
        (service.registry.stored(other) / model_package.WEIGHTS).write_bytes(b"others")
    else:
        monkeypatch.setattr("serving.local_files.shutil.copyfile", no_room)
    service.follower.look()
    assert service.state.challenger is None


def test_a_champion_that_cannot_be_brought_now_holds_up_no_challenger(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A canary that a person withdraws answers nobody, whatever else is wrong."""
    challenger = service.registry.add(service.package(seed=1))
    service.registry.point(CHALLENGER, challenger)
    service.follower.look()
    champion = service.champion(seed=2)
    copy = service.reader.copy

    def fails(version: Registered, file: str, target: Path) -> None:
        if version.version == champion:
            raise TrackingError("the server that has the files is away")
        copy(version, file, target)

    monkeypatch.setattr(service.reader, "copy", fails)
    service.registry.client.delete_registered_model_alias("digits", CHALLENGER)
    service.follower.look()
    assert (service.version, service.state.challenger) == ("0", None)
    third = service.registry.add(service.package(seed=3))
    service.registry.point(CHALLENGER, third)
    assert service.follower.look(), "not at once again"
    assert service.state.challenger is not None and service.state.challenger.version == third
    assert service.follower.describe()["registry"]["reachable"] is False


def wrong_tag(service: Service) -> None:
    service.registry.point(CHAMPION, service.registry.add(service.package(seed=1), tags={"sha256": "0" * 64}))


def no_tag(service: Service) -> None:
    service.registry.point(CHAMPION, service.registry.add(service.package(seed=1), tags={}))


def damaged(service: Service) -> None:
    version = service.champion(seed=1)
    (service.registry.stored(version) / model_package.WEIGHTS).write_bytes(b"others")


def exchanged(service: Service) -> None:
    """Network and description, both whole, are of another model than the one that was registered."""
    version = service.champion(seed=1)
    other = service.package(seed=2)
    shutil.copy(other / model_package.DESCRIPTION, service.registry.stored(version))
    shutil.copy(
        other / model_package.NETWORK, service.registry.stored(version) / model_package.MLFLOW_NETWORK
    )


def description_changed(service: Service) -> None:
    version = service.champion(seed=1)
    described = service.registry.stored(version) / model_package.DESCRIPTION
    described.write_text(described.read_text().replace('"temperature": 1.0', '"temperature": 2.0'))


def without_network(service: Service) -> None:
    version = service.champion(seed=1)
    (service.registry.stored(version) / model_package.MLFLOW_NETWORK).unlink()


def without_description(service: Service) -> None:
    version = service.champion(seed=1)
    (service.registry.stored(version) / model_package.DESCRIPTION).unlink()


def outside(service: Service) -> None:
    version = service.champion(seed=1)
    described = service.registry.stored(version) / model_package.DESCRIPTION
    described.write_text(described.read_text().replace(f'"{golden_set.FILE}"', '"../planted"'))
    (service.registry.stored(version).parent / "planted").write_text("marker")


def other_shape(service: Service) -> None:
    service.champion(seed=1, image=(1, 32, 32))


def other_classes(service: Service) -> None:
    service.champion(seed=1, classes=("cat", "dog"))


def not_a_number(service: Service) -> None:
    package = service.package(seed=1)
    change_weights(package, lambda weights: np.full_like(weights, np.nan))
    describe_again(package, [golden_set.FILE])
    service.registry.point(CHAMPION, service.registry.add(package))


def golden_set_off(service: Service) -> None:
    """Whole by every checksum, and another network than the one that was tested."""
    package = service.package(seed=1)
    change_weights(package, lambda weights: weights + np.float32(0.01) * np.sign(weights))
    describe_again(package, [golden_set.FILE])
    service.registry.point(CHAMPION, service.registry.add(package))


def no_network_at_all(service: Service) -> None:
    package = service.package(seed=1, golden=False)
    (package / model_package.NETWORK).write_bytes(b"not ONNX")
    describe_again(package, [])
    service.registry.point(CHAMPION, service.registry.add(package))


def other_golden_set(service: Service, change: Callable[[np.ndarray], np.ndarray], *, answers: bool) -> None:
    """change: takes what the network is given and answers to something else."""
    package = service.package(seed=1)
    given, expected = golden_set.read(package)
    arrays = {"input.image": given["image"]}
    arrays |= {"output.probabilities": expected["probabilities"]} if answers else {}
    changed = {name: change(array) for name, array in arrays.items()}
    np.savez(package / golden_set.FILE, **changed)  # type: ignore[arg-type]  # the names are not its parameters
    describe_again(package, [golden_set.FILE])
    service.registry.point(CHAMPION, service.registry.add(package))


def golden_set_not_a_number(service: Service) -> None:
    other_golden_set(
        service, lambda array: array * np.nan if array.dtype == np.float32 else array, answers=True
    )


def golden_set_empty(service: Service) -> None:
    other_golden_set(service, lambda array: array[:0], answers=True)


def golden_set_without_answers(service: Service) -> None:
    other_golden_set(service, lambda array: array, answers=False)


def golden_set_unreadable(service: Service) -> None:
    package = service.package(seed=1)
    (package / golden_set.FILE).write_bytes(b"not a zip file")
    describe_again(package, [golden_set.FILE])
    service.registry.point(CHAMPION, service.registry.add(package))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (wrong_tag, "the registry says 0000"),
        (no_tag, "no tag sha256"),
        (damaged, "weights.safetensors: SHA-256 is"),
        (exchanged, "the registry says"),
        (description_changed, "model.json: SHA-256 is"),
        (without_network, "model.onnx is missing"),
        (without_description, "model.json is missing"),
        (outside, "'../planted' is not a path inside the package"),
        (other_shape, r"image is (1, 32, 32), where clients of this service know (1, 28, 28)"),
        (other_classes, "classes is ('cat', 'dog')"),
        (not_a_number, "finite"),
        (golden_set_off, "on its golden set it answers otherwise"),
        (no_network_at_all, "not an ONNX file"),
        (golden_set_unreadable, "cannot be loaded"),
        (golden_set_not_a_number, "on its golden set it answers otherwise"),
        (golden_set_empty, "holds no answer"),
        (golden_set_without_answers, "holds no answer"),
    ],
)
def test_a_bad_model_is_refused_and_the_old_one_goes_on(
    spoil: Any, why: str, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.champion(seed=9)
    service.follower.look()
    good, refusals = service.state.model, count(follower_metrics().refused, CHAMPION)
    spoil(service)
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            assert service.follower.look()
    assert service.state.model is good
    (refused,) = service.refused
    assert (refused["alias"], refused["version"]) == (CHAMPION, "2")
    assert why in refused["why"]
    assert str(service.folder) not in refused["why"], "GET /model tells no paths"
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 1, "said once, however often it is looked at"
    assert why in told[0].getMessage()
    assert "Version 1 goes on." in told[0].getMessage()
    assert count(follower_metrics().refused, CHAMPION) == refusals + 1
    assert [each.name for each in service.store.folder.iterdir() if "partial" in each.name] == []


def test_what_comes_after_a_refused_version_is_taken(service: Service) -> None:
    damaged(service)
    service.follower.look()
    assert service.refused
    third = service.champion(seed=3)
    service.follower.look()
    assert (service.version, service.refused) == (third, [])


def test_a_package_from_before_golden_sets_is_taken_with_a_warning(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    version = service.champion(seed=1, golden=False)
    service.follower.look()
    assert service.version == version
    assert "has no golden set" in caplog.text


def test_a_golden_set_can_be_required(tmp_path: Path, empty_mlflow: Path) -> None:
    strict = Service(tmp_path, empty_mlflow, golden_set="required")
    strict.champion(seed=1, golden=False)
    strict.follower.look()
    assert strict.version == "0"
    assert "golden_set requires" in strict.refused[0]["why"]


def test_a_registry_that_is_down_changes_nothing_and_is_caught_up_with(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.champion(seed=1)
    service.follower.look()
    file = service.folder / "registry" / "mlflow.db"
    failures = count(follower_metrics().failures)
    file.rename(file.with_suffix(".away"))
    for _ in range(4):
        service.follower.look()
    assert service.version == "1"
    assert service.follower.describe()["registry"] == {"followed": True, "reachable": False}
    assert count(follower_metrics().failures) == failures + 4
    assert count(follower_metrics().reachable) == 0
    file.with_suffix(".away").rename(file)
    second = service.champion(seed=2)
    service.follower.look()
    assert service.version == second
    assert service.follower.describe()["registry"] == {"followed": True, "reachable": True}
    told = [record.levelname for record in caplog.records if "registry can" in record.getMessage().lower()]
    assert told == ["ERROR", "WARNING"], "one line when it goes, one when it is back"


def test_a_full_disk_is_not_held_against_the_version(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = service.champion(seed=1)
    with monkeypatch.context() as full:
        full.setattr("serving.local_files.shutil.copyfile", no_room)
        service.follower.look()
    assert (service.version, service.refused) == ("0", [])
    service.follower.look()
    assert service.version == version


def no_room(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def test_an_alias_that_moves_while_one_loads_is_followed_at_once(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.champion(seed=1)
    second = service.registry.add(service.package(seed=2))
    loaded: list[str] = []
    original = image_model.load

    def load_slowly(folder: Path, version: str, sha256: str) -> image_model.ImageModel:
        loaded.append(version)
        service.registry.point(CHAMPION, second)
        return original(folder, version, sha256)

    monkeypatch.setattr(image_model, "load", load_slowly)
    assert not service.follower.look(), "look again at once"
    assert service.version == "0", "what was loaded is champion no more"
    assert service.follower.look()
    assert (service.version, loaded) == (second, ["1", second])


def test_the_thread_follows_and_ends(service: Service, tmp_path: Path, empty_mlflow: Path) -> None:
    version = service.champion(seed=1)
    quick = FOLLOW.model_copy(update={"seconds": 0.02})
    follower = Follower(service.state, service.reader, service.store, quick, (CHAMPION,))
    follower.start()
    assert service.version == version, "it answers from the start with what is champion"
    version = service.champion(seed=2)
    deadline = time.monotonic() + 20
    while service.version != version and time.monotonic() < deadline:
        time.sleep(0.01)
    follower.close()
    assert service.version == version
    assert "follower" not in [thread.name for thread in threading.enumerate()]


def test_a_registry_that_hangs_does_not_keep_a_service_from_starting(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()

    class Hanging:
        def aliases(self, name: str, wanted: Collection[str]) -> dict[str, Registered]:
            release.wait(30)
            raise TrackingError("at last")

        def copy(self, version: Registered, file: str, target: Path) -> None:
            raise AssertionError

        def close(self) -> None:
            pass

    brief = FOLLOW.model_copy(update={"timeout_seconds": 0.2})
    follower = Follower(service.state, Hanging(), service.store, brief, (CHAMPION, CHALLENGER))
    start = time.monotonic()
    follower.start()
    assert time.monotonic() - start < 5
    assert follower.describe()["registry"] == {"followed": True, "reachable": None}
    assert "could not be followed within 0.4 s; version 0 answers" in caplog.text
    release.set()
    follower.close()


def test_only_the_newest_packages_and_those_in_use_are_kept(tmp_path: Path, empty_mlflow: Path) -> None:
    service = Service(tmp_path, empty_mlflow)
    store = PackageStore(tmp_path / "kept", keep=1)
    follower = Follower(service.state, service.reader, store, FOLLOW, (CHAMPION, CHALLENGER))
    challenger = service.registry.add(service.package(seed=7))
    service.registry.point(CHALLENGER, challenger)
    for seed in (1, 2, 3):
        champion = service.champion(seed=seed)
        follower.look()
    kept = sorted(each.name.split("-")[0] for each in store.folder.iterdir() if each.is_dir())
    assert kept == sorted([f"v{challenger}", f"v{champion}"])


def test_a_kept_package_that_was_damaged_is_brought_again(service: Service) -> None:
    version = service.champion(seed=1)
    service.follower.look()
    (kept,) = (each for each in service.store.folder.iterdir() if each.is_dir())
    (kept / model_package.WEIGHTS).write_bytes(b"damaged")
    service.state.model = image_model.load(service.package(seed=0), "0")
    service.follower.look()
    assert service.version == version
    model_package.verify(kept)


BRINGING = """
import sys, time
from pathlib import Path
from serving.package_store import PackageStore
from serving.registry_reader import Registered
from serving import local_files
original = local_files.shutil.copyfile
def slowly(source, target):
    original(source, target)
    print(target, flush=True)
    time.sleep(60 if str(target).endswith("network.onnx") else 0)
local_files.shutil.copyfile = slowly
class Reader:
    def copy(self, version, file, target):
        local_files.copy(version.location, file, target)
version = Registered("digits", "1", sys.argv[3], (), sys.argv[2])
with PackageStore(Path(sys.argv[1]), 3).package(version, Reader()) as folder:
    print("brought", flush=True)
"""


def test_kill_9_while_a_package_comes_leaves_nothing_that_is_taken_for_whole(service: Service) -> None:
    version = service.champion(seed=1)
    registered = service.reader.aliases("digits", [CHAMPION])[CHAMPION]
    process = subprocess.Popen(
        [sys.executable, "-c", BRINGING, str(service.store.folder), registered.location, registered.sha256],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while not process.stdout.readline().strip().endswith("network.onnx"):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    left = [each.name for each in service.store.folder.iterdir() if each.is_dir()]
    assert [name for name in left if not name.startswith(".")] == []
    assert [name for name in left if name.endswith(".partial")], "it was killed half-way"
    service.follower.look()
    assert service.version == version, "the lock went with the process, and all is brought anew"
    assert [each for each in service.store.folder.iterdir() if each.name.endswith(".partial")] == []


def test_two_workers_bring_a_package_once(service: Service) -> None:
    service.champion(seed=1)
    copied: list[str] = []

    class Counting:
        def aliases(self, name: str, wanted: Collection[str]) -> dict[str, Registered]:
            return service.reader.aliases(name, wanted)

        def copy(self, version: Registered, file: str, target: Path) -> None:
            copied.append(file)
            time.sleep(0.02)
            service.reader.copy(version, file, target)

        def close(self) -> None:
            pass

    states = [ImageState(), ImageState()]
    workers = []
    for state in states:
        state.model = image_model.load(service.package(seed=0), "0")
        follower = Follower(state, Counting(), service.store, FOLLOW, (CHAMPION,))
        workers.append(threading.Thread(target=follower.look))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [state.model.version for state in states] == ["1", "1"]
    assert len(copied) == len(set(copied))


def test_memory_of_what_was_replaced_is_released(service: Service) -> None:
    for seed in (1, 2):
        service.registry.add(service.package(seed=seed))

    def swap(times: int) -> None:
        for turn in range(times):
            service.registry.point(CHAMPION, str(1 + turn % 2))
            service.follower.look()
            assert service.version == str(1 + turn % 2)

    swap(20)
    before = resident_mib()
    swap(100)
    assert resident_mib() < before * 1.05


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def test_model_tells_what_is_followed_and_what_was_refused(service: Service) -> None:
    application = AsgiClient(ImageApplication(service.state, SETTINGS))
    assert application.get("/model").json()["registry"] == {"followed": False, "reachable": None}
    service.state.follower = service.follower
    service.champion(seed=1)
    service.follower.look()
    damaged(service)
    service.follower.look()
    told = application.get("/model").json()
    assert told["version"] == "1"
    assert told["registry"] == {"followed": True, "reachable": True}
    assert [(one["alias"], one["version"]) for one in told["refused"]] == [(CHAMPION, "2")]


def test_whatever_goes_wrong_the_thread_goes_on(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def aliases(self, name: str, wanted: Collection[str]) -> dict[str, Registered]:
            raise RuntimeError("a mistake")

        def copy(self, version: Registered, file: str, target: Path) -> None:
            raise AssertionError

        def close(self) -> None:
            pass

    follower = Follower(service.state, Broken(), service.store, FOLLOW, (CHAMPION,))
    for _ in range(3):
        assert follower.look()
    assert caplog.text.count("Traceback") == 1
    assert service.version == "0"


def test_a_golden_set_shows_what_differs(tmp_path: Path) -> None:
    package = write_package(tmp_path / "package")
    add_golden_set(package)
    description = model_package.verify(package)
    session = image_model.load(package, "1").session
    assert golden_set.difference(package, description, session) == pytest.approx(0, abs=1e-6)
    answers = np.load(package / golden_set.FILE)["output.probabilities"]

    def answering(found: np.ndarray) -> Any:
        return SimpleNamespace(run=lambda *_: [found])

    assert golden_set.difference(package, description, answering(answers + 0.25)) == pytest.approx(0.25)
    assert golden_set.difference(package, description, answering(answers * np.nan)) == float("inf")
    with pytest.raises(ModelError, match="shape"):
        golden_set.difference(package, description, answering(answers[:, :3]))
    assert golden_set.difference(package, {"files": {}}, session) is None


def test_a_golden_set_is_the_same_file_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        add_golden_set(write_package(tmp_path / name))
    assert (tmp_path / "one" / golden_set.FILE).read_bytes() == (
        tmp_path / "two" / golden_set.FILE
    ).read_bytes()


def test_golden_items_are_spread_over_all(tmp_path: Path) -> None:
    assert golden_set.spread(10, 4).tolist() == [0, 3, 6, 9]
    assert golden_set.spread(3, 64).tolist() == [0, 1, 2]
