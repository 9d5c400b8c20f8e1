"""Good and bad pictures to send."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image


def digit(seed: int = 0) -> np.ndarray:
    """uint8 (28, 28)"""
    return np.random.default_rng(seed).integers(0, 256, (28, 28), dtype=np.uint8)


def encoded(image: np.ndarray, format_: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format_, **options)
    return file.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG whose header promises more than its few bytes hold."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(b"\0"))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
