"""What a stage ran on: processor, GPUs, versions of packages. Read when the stage has done its work."""

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

# What data, networks and figures go through; all others are pinned in constraints.txt.
PACKAGES = ("torch", "lightning", "onnx", "onnxruntime", "numpy", "scipy", "scikit-learn", "pandas",
            "pyarrow", "pillow", "cleanlab", "great_expectations", "mlflow", "dvc", "bentoml")  # fmt: skip


def measure() -> dict[str, Any]:
    """python and packages: versions; processor: as it calls itself; gpus: of those that this process used."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "gpus": gpus(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }


def processor() -> str:
    """The processor's name by /proc/cpuinfo (Linux), else what the platform says, which may be nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def gpus() -> list[str]:
    """Names of the GPUs in whose memory this process has put something; without loading torch for it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return []
    devices = range(torch.cuda.device_count())
    return [torch.cuda.get_device_name(i) for i in devices if torch.cuda.max_memory_reserved(i) > 0]
