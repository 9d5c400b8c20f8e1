"""Training in several processes: which of them this one is.

The first process is the stage: it opens the MLflow run, checks the network before the training, writes
checkpoints, the model package and the evidence. The others run the same command, take part in the training
alone and leave nothing. Lightning starts them itself (it runs the command again with LOCAL_RANK set), or
torchrun or SLURM starts all of them.
"""

import os
from typing import TYPE_CHECKING

from pipeline.core.errors import ParameterError

if TYPE_CHECKING:
    from pipeline.core.parameters import Hardware

# Lightning's launcher, torchrun and SLURM number processes in these; the first has 0 in each that is set.
NUMBERS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")


def is_first() -> bool:
    """Whether this process is the stage itself; so is every one that nobody has numbered."""
    return not any(int(os.environ.get(name) or 0) for name in NUMBERS)


def refuse_mismatch(hardware: "Hardware") -> None:
    """ParameterError: other processes were started than the parameters say; each would train by itself."""
    if isinstance(hardware.devices, str):
        return  # Lightning counts the devices, and holds them to what was started
    wanted = hardware.devices * hardware.num_nodes
    started = int(os.environ.get("WORLD_SIZE") or wanted)
    if started != wanted or (wanted == 1 and not is_first()):
        raise ParameterError(
            f"params.yaml: train.hardware: devices {hardware.devices} on num_nodes {hardware.num_nodes} make "
            f"{wanted} process(es), but {max(started, 2)} were started (torchrun's WORLD_SIZE, SLURM's "
            "tasks). Start as many as the parameters say, or change the parameters."
        )
