"""This project's training beside a plain recipe, and how near it comes to what the machine can do.

    python -m benchmarks.train digits [--epochs 2 4 8] [--plain-epochs 14] [--json FILE]

Side by side in one call, on the same prepared images:
- this project's recipe, with the epochs of params.yaml or those given (each a whole schedule);
- the plain recipe of PyTorch's MNIST example, written from its description: two convolutions of 32 and 64
  channels, pooling, dropout, a layer of 128; Adadelta with a rate of 1 that falls by 0.7 each epoch, batches
  of 64, a DataLoader that transforms image after image;
- the same network, optimiser and loader given to Lightning with its defaults.
Time is that of training alone, from the first batch to the last. The accuracy is that on the test part after
the last epoch; nothing is chosen by it. Last, what Lightning adds to a loop without it, on the same batches,
taking turns.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks.images import parameters
from benchmarks.machine import machine
from pipeline.core import quiet
from pipeline.core.parameters import ONE_DEVICE
from pipeline.core.paths import Paths
from pipeline.core.statistics import Interval, wilson_interval
from pipeline.tasks.image_classification.data.dataset import Split, read_split
from pipeline.tasks.image_classification.data.pixel_statistics import channel_statistics
from pipeline.tasks.image_classification.learning import fitting, networks, sanity
from pipeline.tasks.image_classification.parameters import Parameters
from pipeline.training import lightning_training, optimisation
from pipeline.training.batches import Batches, on_device

PLAIN_BATCH = 64  # images
PLAIN_DECAY = 0.7  # of the learning rate, each epoch
SOONER_MIN = 8  # times sooner than the plain recipe at its accuracy
OVERHEAD_MAX = 0.1  # share of the time that Lightning may add
OVERHEAD_STEPS = 60  # of each turn
OVERHEAD_TURNS = 5


@dataclass(frozen=True)
class Run:
    """accuracy: share of test images right, with its 95 % interval; machine_share: of the speed that the
    machine's matrix product reaches, what the network's own operations took; None where they were not
    counted"""

    recipe: str
    epochs: int
    seconds: float
    images_per_second: float
    accuracy: float
    interval: Interval
    machine_share: float | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("project", help="an image project of params.yaml, prepared")
    parser.add_argument("--epochs", type=int, nargs="+", help="of this project's recipe (params.yaml's)")
    parser.add_argument(
        "--plain-epochs", type=int, default=14, help="of the plain recipe (14); 0: without it"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    quiet.silence()
    paths = Paths(Path.cwd(), arguments.project)
    params = parameters(paths)
    if not (paths.prepared / "train").is_dir():
        sys.exit(f"Nothing prepared yet: `dvc repro prepare@{arguments.project}` first.")
    train, test = read_split(paths.prepared / "train"), read_split(paths.prepared / "test")
    gflops = matrix_speed()
    runs = [ours(train, test, params, epochs, gflops) for epochs in arguments.epochs or [params.train.epochs]]
    if arguments.plain_epochs:
        runs += [plain(train, test, params, arguments.plain_epochs)]
        runs += [plain_lightning(train, test, params, arguments.plain_epochs)]
    figures = {
        "machine": machine(),
        "project": arguments.project,
        "matrix_gflops": gflops,
        "runs": [asdict(run) for run in runs],
        "sooner": sooner(runs) if arguments.plain_epochs else None,
        "sooner_min": SOONER_MIN,
        "lightning_overhead": overhead(train, params),
        "overhead_max": OVERHEAD_MAX,
    }
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def matrix_speed() -> float:
    """Milliards of float operations a second of a matrix product in the precision that `auto` trains in."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = 8192 if device.type == "cuda" else 1024
    a = torch.rand((size, size), device=device)
    with torch.autocast(device.type, torch.bfloat16, enabled=trains_in_bfloat16()):
        seconds = min(seconds_of(lambda: a @ a, device) for _ in range(10))
    return 2 * size**3 / seconds / 1e9


def trains_in_bfloat16() -> bool:
    return lightning_training.trainer(1, "auto", ONE_DEVICE).precision == "bf16-mixed"


def seconds_of(work: Callable[[], Any], device: torch.device) -> float:
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def ours(train: Split, test: Split, params: Parameters, epochs: int, gflops: float) -> Run:
    """This project's recipe in `epochs`, as `train` fits it but for checkpoints and tracking."""
    recipe = params.train.model_copy(update={"epochs": epochs})
    network = built(train, params)
    mflop = sanity.mflop(network, torch.from_numpy(train.pixels[:1].copy()))
    clock = EpochClock()
    fitting.fit(network, recipe, recipe.seed, (train.pixels, train.labels), callbacks=[clock])
    answers = fitting.predict(network, test.pixels).argmax(1)
    done = 3 * mflop * 1e6 * len(train) * epochs  # backward costs twice as much as forward
    return run(
        "this project", epochs, clock.seconds, train, test, answers, done / clock.seconds / 1e9 / gflops
    )


def built(train: Split, params: Parameters) -> nn.Module:
    mean, std = channel_statistics(train.pixels)
    lightning.seed_everything(params.train.seed, verbose=False)
    collect = params.collect
    return networks.build(params.train.network, collect.image, len(collect.classes), mean, std)


def run(
    recipe: str,
    epochs: int,
    seconds: float,
    train: Split,
    test: Split,
    answers: np.ndarray,
    machine_share: float | None = None,
) -> Run:
    right = int((answers == test.labels).sum())
    interval = wilson_interval(right, len(test))
    speed = len(train) * epochs / seconds
    return Run(recipe, epochs, seconds, speed, right / len(test), interval, machine_share)


class EpochClock(lightning.Callback):
    """Seconds from the first batch to the end of the last epoch."""

    def __init__(self) -> None:
        self.began = self.seconds = 0.0

    def on_train_start(self, *_: Any) -> None:
        self.began = time.perf_counter()

    def on_train_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        if trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds = time.perf_counter() - self.began


class Images(Dataset[tuple[Tensor, int]]):
    """One image after the other, as most code reads them: to float, then normalised."""

    def __init__(self, split: Split, mean: list[float], std: list[float]) -> None:
        self.split = split
        self.mean, self.std = (torch.tensor(values).view(-1, 1, 1) for values in (mean, std))

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        pixels = torch.from_numpy(self.split.pixels[row].copy()).float() / 255
        return (pixels - self.mean) / self.std, int(self.split.labels[row])


class PlainNetwork(nn.Module):
    """float32 (N, C, H, W) -> log-probabilities float32 (N, classes)."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 32, 3),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(0.25),
            nn.Flatten(),
            nn.Linear(64 * ((height - 4) // 2) * ((width - 4) // 2), 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, classes),
            nn.LogSoftmax(dim=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        logarithms: Tensor = self.layers(images)
        return logarithms


class PlainModule(lightning.LightningModule):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        return F.nll_loss(self.network(images), labels)

    def configure_optimizers(self) -> Any:
        optimiser = torch.optim.Adadelta(self.parameters(), lr=1.0)
        return [optimiser], [torch.optim.lr_scheduler.StepLR(optimiser, 1, PLAIN_DECAY)]


def plain(train: Split, test: Split, params: Parameters, epochs: int) -> Run:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network, batches = plain_parts(train, params)
    network.to(device).train()
    optimiser = torch.optim.Adadelta(network.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 1, PLAIN_DECAY)

    def fit() -> None:
        for _ in range(epochs):
            for images, labels in batches:
                optimiser.zero_grad()
                F.nll_loss(network(images.to(device)), labels.to(device)).backward()
                optimiser.step()
            schedule.step()

    seconds = seconds_of(fit, device)
    return run("plain", epochs, seconds, train, test, plain_answers(network, train, test))


def plain_lightning(train: Split, test: Split, params: Parameters, epochs: int) -> Run:
    network, batches = plain_parts(train, params)
    clock = EpochClock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(max_epochs=epochs, default_root_dir=folder, callbacks=[clock])
        trainer.fit(PlainModule(network), batches)
    return run("plain, Lightning", epochs, clock.seconds, train, test, plain_answers(network, train, test))


def plain_parts(train: Split, params: Parameters) -> tuple[nn.Module, DataLoader[tuple[Tensor, int]]]:
    lightning.seed_everything(params.train.seed, verbose=False)
    network = PlainNetwork(train.pixels.shape[1:], len(params.collect.classes))
    images = Images(train, *channel_statistics(train.pixels))
    return network, DataLoader(images, PLAIN_BATCH, shuffle=True)


@torch.inference_mode()
def plain_answers(network: nn.Module, train: Split, test: Split) -> np.ndarray:
    device = next(network.parameters()).device
    network.eval()
    images = DataLoader(Images(test, *channel_statistics(train.pixels)), fitting.PREDICTION_BATCH)
    return torch.cat([network(batch.to(device)).argmax(1).cpu() for batch, _ in images]).numpy()


def sooner(runs: list[Run]) -> float | None:
    """How many times sooner the fastest of this project's runs that is as accurate as the plain one ended;
    None where none is."""
    reference = next(one for one in runs if one.recipe == "plain")
    as_good = [one for one in runs if one.recipe == "this project" and one.accuracy >= reference.accuracy]
    return reference.seconds / min(one.seconds for one in as_good) if as_good else None


def overhead(train: Split, params: Parameters) -> float:
    """Share that Lightning adds to the time of the same steps in a plain loop; the median of several turns.

    Both gather, augment, forward, backward and step alike; what is left is callbacks, hooks and logging.
    """
    shares = []
    for turn in range(OVERHEAD_TURNS + 1):
        with_lightning, without = stepwise(train, params, True), stepwise(train, params, False)
        if turn > 0:  # the first warms up
            shares.append(with_lightning / without - 1)
    return statistics.median(shares)


def stepwise(train: Split, params: Parameters, with_lightning: bool) -> float:
    """Seconds of OVERHEAD_STEPS steps."""
    recipe = params.train.model_copy(update={"epochs": 1})
    rows = slice(0, OVERHEAD_STEPS * recipe.batch_size)
    pixels, labels = train.pixels[rows], train.labels[rows]
    network = built(train, params)
    if with_lightning:
        clock = EpochClock()
        fitting.fit(network, recipe, recipe.seed, (pixels, labels), callbacks=[clock])
        return clock.seconds
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    module = fitting.Classifier(network, recipe, recipe.seed)
    optimiser = optimisation.optimiser(recipe.optimiser, network, recipe.learning_rate, recipe.weight_decay)
    batches = Batches(on_device((pixels, labels), device), recipe.batch_size, seed=recipe.seed, shuffle=True)
    bfloat16 = trains_in_bfloat16()

    def fit() -> None:
        network.train()
        for images, given in batches:
            if module.augment is not None:
                images = module.augment(images, module.generator)
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                logits = network(images)
                loss = F.cross_entropy(logits, given, label_smoothing=recipe.label_smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    return seconds_of(fit, device)


def show(figures: dict[str, Any]) -> None:
    print(f"{figures['machine']}; matrix product {figures['matrix_gflops']:.0f} GFLOP/s\n")
    print(f"{'':18}{'epochs':>8}{'seconds':>9}{'images/s':>10}{'of machine':>12}{'test accuracy':>28}")
    for one in figures["runs"]:
        low, high = one["interval"]
        share = f"{one['machine_share']:.0%}" if one["machine_share"] is not None else ""
        print(
            f"{one['recipe']:18}{one['epochs']:8}{one['seconds']:9.1f}{one['images_per_second']:10.0f}{share:>12}"
            f"{one['accuracy']:12.4f} [{low:.4f}, {high:.4f}]"
        )
    print()
    if any(one["recipe"] == "plain" for one in figures["runs"]):
        found = figures["sooner"]
        holds = "holds" if found is not None and found >= figures["sooner_min"] else "FAILS"
        what = f"{found:.1f} times sooner" if found is not None else "never reached"
        print(f"the plain recipe's accuracy: {what}; required {figures['sooner_min']}, {holds}")
    added = figures["lightning_overhead"]
    holds = "holds" if added <= figures["overhead_max"] else "FAILS"
    print(f"Lightning adds {added:.1%} to a plain loop; allowed {figures['overhead_max']:.0%}, {holds}")


if __name__ == "__main__":
    main()
