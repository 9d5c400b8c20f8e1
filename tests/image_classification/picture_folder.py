"""Folders of small pictures in two colours of square, and how `collect` is asked to read them."""

import struct
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import yaml
from PIL import Image

from pipeline.core.findings import Findings
from pipeline.core.paths import Paths
from pipeline.tasks.image_classification import collect
from pipeline.tasks.image_classification.parameters import Charter, Collect
from tests.imports import ROOT

CLASSES = ("dark", "light")


def picture(label: int, seed: int, size: tuple[int, int] = (24, 20), mode: str = "RGB") -> Image.Image:
    """A square of its own place and size, dark on light (label 0) or light on dark (1)."""
    rng = np.random.default_rng(seed)
    ground, ink = ((200, 40) if label == 0 else (40, 200)) + rng.integers(-20, 20, 2)
    pixels = np.full((size[1], size[0], 3), ground, dtype=np.float64)
    x, y = (int(rng.integers(1, side // 2)) for side in size)
    pixels[y : y + size[1] // 3, x : x + size[0] // 3] = ink
    if mode == "RGB":
        pixels[..., 0] -= 15
    pixels += rng.normal(0, 3, (*pixels.shape[:2], 1))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).convert(mode)


def write(
    root: Path, per_class: int, *, first: int = 0, mode: str = "RGB", size: tuple[int, int] = (24, 20)
) -> Path:
    """root/CLASS/NNN.png or .jpg, in turn."""
    for label, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(first, first + per_class):
            drawn = picture(label, 2 * i + label, size, mode)
            drawn.save(root / name / f"{i:03}.{'png' if i % 2 else 'jpg'}")
    return root


def bomb(path: Path, side: int = 60_000) -> Path:
    """A PNG of a hundred bytes that says it has side x side pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return path


def source(**changed: Any) -> dict[str, Any]:
    return {
        "name": "drawn", "kind": "folder", "path": "pictures", "sha256": None, "licence": "own",
        "format": "folder", "pixels_max": 10_000,
    } | changed  # fmt: skip


def table_source(**changed: Any) -> dict[str, Any]:
    columns = {"file": "path", "label": "class", "part": None, "group": None}
    return source(format="table", labels="labels.csv", columns=columns) | changed


def collected(
    root: Path, *sources: dict[str, Any], to: str = "collected", channels: int = 3, side: int = 16
) -> tuple[Path, Findings]:
    """The folder that `collect` writes of the sources below `root`, and what it found."""
    shipped = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"]["digits"]
    declared = {
        "classes": CLASSES,
        "image": {"height": side, "width": side, "channels": channels},
        "sources": sources or (source(),),
    }
    params = SimpleNamespace(
        plan=Charter(**shipped["plan"] | {"min_items": 1, "min_items_per_class": 1}),
        collect=Collect.model_validate(declared),
    )
    folder = root / to
    folder.mkdir()
    return folder, collect.collect(params, Paths(root, "squares"), folder)
