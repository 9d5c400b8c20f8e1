"""The kinds of problem that fullcycle solves; one folder each, with the same file names in all.

This is the one place where a task is looked up by name.
"""

import importlib
from pathlib import Path
from types import ModuleType


def names() -> list[str]:
    return sorted(p.parent.name for p in Path(__file__).parent.glob("*/parameters.py"))


def has(task: str, name: str) -> bool:
    """Whether the task has a module of that name; some are not asked of every task."""
    return (Path(__file__).parent / task / f"{name}.py").is_file()


def module(task: str, name: str) -> ModuleType:
    """The module `pipeline.tasks.TASK.NAME`, for instance what a task does in `train`."""
    return importlib.import_module(f"pipeline.tasks.{task}.{name}")
