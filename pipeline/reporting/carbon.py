"""What a pass cost in energy and carbon: an estimate from measured time and stated watts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True)
class Footprint:
    """cpu_hours: of one core; gpu_hours: of one GPU; memory_gib_hours: peak memory times time;
    kwh: of the computer and its data centre; carbon_g: grams of CO2 equivalents."""

    cpu_hours: float
    gpu_hours: float
    memory_gib_hours: float
    kwh: float
    carbon_g: float


def footprint(stages: Iterable[Mapping[str, Any]], energy: Mapping[str, float]) -> Footprint:
    """Of some stages together, by their evidence (core/stage.py). energy: `plan.energy` of params.yaml.

    kWh = PUE x (core seconds x W per core + GPU seconds x W per GPU + GiB x seconds x W per GiB) / 3.6e6,
    carbon = kWh x intensity of the grid: Lannelongue et al. 2021 (doi:10.1002/advs.202100707), as Lacoste
    et al. 2019 (arXiv:1910.09700) and Henderson et al. 2020 (arXiv:2002.05651) before. Core seconds are
    measured; a GPU counts for the whole time of a stage that used it, and memory by its peak, so that
    both are upper bounds.
    """
    found = list(stages)
    cpu = sum(stage["cost"]["cpu_seconds"] for stage in found)
    gpu = sum(stage["cost"]["seconds"] * len(stage["environment"]["gpus"]) for stage in found)
    memory = sum(stage["cost"]["seconds"] * stage["cost"]["peak_memory_mib"] / 1024 for stage in found)
    joules = energy["pue"] * (
        cpu * energy["cpu_watts_per_core"]
        + gpu * energy["gpu_watts"]
        + memory * energy["memory_watts_per_gib"]
    )
    kwh = joules / JOULES_PER_KWH
    return Footprint(cpu / 3600, gpu / 3600, memory / 3600, kwh, kwh * energy["carbon_g_per_kwh"])
