"""What a stage ran on is read from the machine, without loading anything for it."""

import platform
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from pipeline.core import environment


def test_versions_are_those_installed() -> None:
    found = environment.measure()
    assert found["python"] == platform.python_version()
    assert set(found["packages"]) == set(environment.PACKAGES)
    for name, version in found["packages"].items():
        assert version == metadata.version(name)
    assert found["processor"]


def test_the_gpus_are_those_that_hold_something_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: 3,
        max_memory_reserved=lambda i: [0, 1 << 20, 2 << 20][i],
        get_device_name=lambda i: f"GPU {i}",
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert environment.gpus() == ["GPU 1", "GPU 2"]
    cuda.is_initialized = lambda: False
    assert environment.gpus() == []
    monkeypatch.delitem(sys.modules, "torch")
    assert environment.gpus() == [] and "torch" not in sys.modules
