"""Pictures are decoded beside each other as far as there is memory for it.

A PNG of 70 KiB may hold 16 megapixels, and where some of them are transparent they take 370 MiB on their
way to the network: a few of them at once would end the service.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from pipeline.core.serve_parameters import Admission
from serving.admission import overloaded

# Bytes of each pixel when most is held, from the file to the network's input (data/pixels.py); measured on
# 16 megapixels of each mode, rounded up.
PLAIN = {"1": 3, "L": 3, "RGB": 10}
OTHERS = 24  # palettes, 16 bits, transparency


class DecodingRoom:
    """most: bytes that pictures may take which are decoded at the same time."""

    def __init__(self, most: int, bounds: Admission) -> None:
        self._most, self._bounds = most, bounds
        self._taken, self._changed = 0, threading.Condition()

    @contextmanager
    def of(self, image: Image.Image) -> Iterator[None]:
        """Waits until there is room for a picture whose header is read; one alone always has it.

        HttpError `overloaded`: it waited too long.
        """
        size = image.width * image.height * _bytes_of_pixel(image)
        with self._changed:
            has_room = self._changed.wait_for(
                lambda: not self._taken or self._taken + size <= self._most, self._bounds.wait_ms_max / 1000
            )
            if not has_room:
                raise overloaded(self._bounds, "other large pictures are being decoded")
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()


def _bytes_of_pixel(image: Image.Image) -> int:
    return OTHERS if "transparency" in image.info else PLAIN.get(image.mode, OTHERS)
