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


def png_with(image: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """With chunks more, each (kind, data), before the pixels."""
    file = encoded(image)
    place = file.index(b"IDAT") - 4
    return file[:place] + b"".join(_chunk(*chunk) for chunk in chunks) + file[place:]


def jpeg_of_scans(image: np.ndarray, scans: int) -> bytes:
    """A progressive JPEG that goes over the picture so many times more, changing nothing.

    A Huffman table has one code, of one bit, for "nothing in this block and so many more"; each scan is
    a head of ten bytes and that code.
    """
    file = encoded(image, "JPEG", progressive=True)
    table = b"\xff\xc4" + struct.pack(">HB", 20, 0x13) + bytes([1, *[0] * 15]) + b"\xe0"
    scan = b"\xff\xda" + struct.pack(">H", 8) + bytes([1, 1, 0x03, 1, 63, 0]) + b"\0\0"
    end = file.rindex(b"\xff\xd9")
    return file[:end] + table + scan * scans + file[end:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
