"""On what a benchmark ran."""

import os
import platform
import re
from pathlib import Path


def machine() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    name = model.group(1) if model else platform.processor()
    return (
        f"{os.cpu_count()} x {name}, {platform.system()} {platform.machine()}, load {os.getloadavg()[0]:.1f}"
    )
