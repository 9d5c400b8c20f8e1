"""What every Lightning training here shares: the trainer, its precision and its schedule."""

import math
from typing import Any, Literal

import lightning
import torch

from pipeline.core import processes
from pipeline.core.parameters import Hardware
from pipeline.training.normalisation_over_all import NormalisationOverAll
from pipeline.training.resuming import WholeFiles


def trainer(
    epochs: int, precision: Literal["auto", "float32", "bfloat16"], hardware: Hardware, **options: Any
) -> lightning.Trainer:
    """A quiet trainer. options: passed to lightning.Trainer."""
    processes.refuse_mismatch(hardware)
    quiet: dict[str, Any] = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return lightning.Trainer(
        **(quiet | options),
        **hardware.model_dump(),
        precision=_precision(precision),
        max_epochs=epochs,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        plugins=[NormalisationOverAll(), WholeFiles()],
    )


def _precision(wanted: Literal["auto", "float32", "bfloat16"]) -> Literal["32-true", "bf16-mixed"]:
    """The value "auto" takes bfloat16 where the hardware is faster with it: GPUs since 2020, CPUs with AMX.

    Weights, sums and the optimiser stay float32 in any case. On a CPU without AMX bfloat16 is slower.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            native = torch.cpu._is_amx_tile_supported()
        return "bf16-mixed" if native else "32-true"
    return "bf16-mixed" if wanted == "bfloat16" else "32-true"


def weight(trainer: lightning.Trainer, rows: int) -> int:
    """What `rows` of this process count as in a mean over all processes, as `batch_size` of `log`.

    Lightning 2.6 averages the counts of the processes as whole numbers: of 51 and 50 rows it makes 50.
    """
    return rows * trainer.world_size


def rise_and_fall(
    optimiser: torch.optim.Optimizer, peak: float, steps: int, warmup_share: float
) -> torch.optim.lr_scheduler.OneCycleLR:
    """The learning rate rises linearly to its peak, then falls as a cosine to 0 (arXiv:1708.07120).

    The rise needs two steps: a training of so few steps that it has less follows the beginning of a
    longer schedule.
    """
    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        max_lr=peak,
        total_steps=max(steps, math.ceil(2 / warmup_share) + 1),
        pct_start=warmup_share,
        cycle_momentum=False,
    )


def device_name(used: lightning.Trainer) -> str:
    device = used.strategy.root_device
    several = f"{used.world_size} processes, each " if used.world_size > 1 else ""
    if device.type == "cuda":
        return several + str(torch.cuda.get_device_name(device))
    return f"{several}{torch.get_num_threads()} CPU threads"
