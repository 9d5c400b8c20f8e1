"""From the body of a request to pixels that the network takes."""

import base64
import binascii
import io
import re
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.core.errors import ParameterError
from pipeline.core.serve_parameters import Requests
from pipeline.tasks.image_classification.data import pixels
from serving.decoding_room import DecodingRoom
from serving.http_errors import HttpError, shown
from serving.request_body import check_fields

FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG"}
SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"RIFF": "WebP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"%PDF": "PDF",
}


# Chunks of a PNG that hold compressed text or colours: a few KiB unfold into MiB.
UNFOLDING = (b"zTXt", b"iTXt", b"iCCP")
# How often a JPEG may go over the picture: usually once, ten times where it is progressive. Each scan
# costs the time of the whole picture and need have no more than a dozen bytes (libjpeg-turbo's "Two Issues
# with the JPEG Standard").
SCANS_MAX = 100
JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
ALONE = {0x01, *range(0xD0, 0xD9)}  # markers that no length follows
SCAN, END = 0xDA, 0xD9


class TakesLong(Exception):
    """A picture that would hold up the requests beside it while it is decoded."""


@dataclass(frozen=True)
class Limits:
    """pixels: of one picture; request_pixels: of all those of one request; batch: pictures of one request;
    decoding: bytes that the pictures of all requests may take that are decoded at the same time."""

    pixels: int
    request_pixels: int
    batch: int
    decoding: int

    @classmethod
    def of(cls, requests: Requests) -> "Limits":
        if requests.pictures is None:
            raise ParameterError(
                "serve.requests.pictures: null is not allowed for an image service. "
                "Set megapixels_max, request_megapixels_max and decoding_mib_max, as the shipped project "
                "digits has them."
            )
        pictures = requests.pictures
        return cls(
            pictures.pixels_max, pictures.request_pixels_max, requests.batch_max, pictures.decoding_max
        )


class Decoder:
    """Turns pictures and lists of pixels into the input of one model, for one request.

    image: (channels, height, width) of the model. Counts pixels, so that a batch of small files
    cannot unfold into hours of decoding.
    pixels_at_once: of one picture; a larger one, and one that may unfold, is not decoded but raises
    TakesLong. room: where pictures are decoded that may be large; None: those of `pixels_at_once` need none.
    booleans: whether true
    or false may be among the values of `pixels`: each is then looked at, because Python takes true for 1.
    """

    def __init__(
        self,
        image: tuple[int, int, int],
        limits: Limits,
        *,
        pixels_at_once: int | None = None,
        room: DecodingRoom | None = None,
        booleans: bool = True,
    ) -> None:
        self.channels, self.height, self.width = image
        self.limits, self.budget = limits, limits.request_pixels
        self.pixels_at_once, self.room, self.booleans = pixels_at_once, room, booleans

    def picture(self, data: bytes, media_type: str = "") -> np.ndarray:
        """uint8 (C, H, W) of a PNG or JPEG file. media_type: what the client says it is, if it does."""
        found = next((name for start, name in SIGNATURES.items() if data.startswith(start)), None)
        declared = FORMATS.get(media_type)
        if found not in (None, "PNG", "JPEG") or (declared and found and found != declared):
            said = f"was declared as {media_type} but" if declared else "must be PNG or JPEG and"
            raise HttpError("unsupported_media_type", f"The picture {said} is {found}.")
        if not data:
            raise HttpError("image_undecodable", "The picture is empty.")
        if found is None:
            raise HttpError("image_undecodable", "The picture is neither PNG nor JPEG.")
        if found == "JPEG" and _has_more_scans(data, SCANS_MAX):
            raise HttpError(
                "image_undecodable", f"The picture is made of more than {SCANS_MAX} scans. Save it anew."
            )
        if self.pixels_at_once is not None and found == "PNG" and any(kind in data for kind in UNFOLDING):
            raise TakesLong
        try:
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
                self._count(image.width, image.height)
                with nullcontext() if self.room is None else self.room.of(image):
                    return pixels.from_image(image, self.height, self.width, self.channels)
        except (HttpError, TakesLong):
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise self._too_many() from None
        except UnidentifiedImageError:  # its text tells where in memory the picture lies
            raise HttpError("image_undecodable", "The picture is damaged and cannot be decoded.") from None
        except Exception as error:  # Pillow's plugins fail in many ways on damaged files
            raise HttpError(
                "image_undecodable", f"The picture is damaged or cut off and cannot be decoded: {error}"
            ) from None

    def _count(self, width: int, height: int) -> None:
        self.budget -= width * height
        if width * height > self.limits.pixels or self.budget < 0:
            raise self._too_many()
        if self.pixels_at_once is not None and width * height > self.pixels_at_once:
            raise TakesLong

    def _too_many(self) -> HttpError:
        return HttpError(
            "image_too_many_pixels",
            f"A picture may have {self.limits.pixels:,} pixels at most, those of one request "
            f"{self.limits.request_pixels:,}. Send a smaller copy.",
        )

    def base64_picture(self, text: Any) -> np.ndarray:
        refuse_url_of_picture(text)
        try:
            data = base64.b64decode(text, validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise HttpError("image_undecodable", "image_base64 must be a string of base64.") from None
        return self.picture(data)

    def pixels(self, given: Any) -> np.ndarray:
        """uint8 (C, H, W) of nested lists of integers, exactly as the network takes them."""
        refuse_url(given)
        rows = self._lists(given, self.height, "rows")
        if not _all_lists_of(self.width, rows):
            rows = [self._lists(row, self.width, "pixels in a row") for row in rows]
        if self.channels == 3:
            rows = [self._lists(value, 3, "values in a pixel") for value in chain.from_iterable(rows)]
        try:
            if self.booleans and not set(map(type, chain.from_iterable(rows))) <= {int}:
                raise ValueError
            flat = np.frombuffer(b"".join(map(bytearray, rows)), dtype=np.uint8)
        except (TypeError, ValueError):
            raise self._wrong_value(list(chain.from_iterable(rows))) from None
        if self.channels == 1:
            return flat.reshape(1, self.height, self.width)
        return np.ascontiguousarray(flat.reshape(self.height, self.width, 3).transpose(2, 0, 1))

    def _lists(self, value: Any, length: int, what: str) -> list[Any]:
        if not isinstance(value, list) or len(value) != length:
            colour = " of [red, green, blue]" if self.channels == 3 else ""
            met = f"{len(value)} {what}" if isinstance(value, list) else f"{shown(value)} instead of {what}"
            raise HttpError(
                "wrong_shape",
                f"pixels must be {self.height} rows of {self.width} pixels{colour}; met {met}.",
            )
        return value

    def _wrong_value(self, values: list[Any]) -> HttpError:
        wrong = next(v for v in values if type(v) is not int or not 0 <= v <= 255)
        if isinstance(wrong, list | dict):
            return HttpError(
                "wrong_shape",
                f"pixels must be {self.height} rows of {self.width} integers; met a list as a pixel.",
            )
        hint = " Pixels scaled to 0..1 are not accepted." if isinstance(wrong, float) else ""
        return HttpError("out_of_range", f"A pixel must be an integer in 0..255, not {shown(wrong)}.{hint}")

    def batch(self, items: Any) -> np.ndarray:
        """uint8 (N, C, H, W) of the items of a batch; an error says which item."""
        if not isinstance(items, list):
            raise HttpError("bad_json", "items must be a list.")
        if not items:
            raise HttpError("missing_field", "items must hold at least one item.")
        if len(items) > self.limits.batch:
            raise HttpError(
                "batch_too_large", f"A batch may have {self.limits.batch} items, this one has {len(items)}."
            )
        images = np.empty((len(items), self.channels, self.height, self.width), dtype=np.uint8)
        for i, item in enumerate(items):
            try:
                images[i] = self._item(item)
            except HttpError as error:
                raise error.within(f"items[{i}]") from None
        return images

    def _item(self, item: Any) -> np.ndarray:
        if not isinstance(item, dict):
            raise HttpError("bad_json", "an item must be an object.")
        if "image_base64" in item:
            check_fields(item, ["image_base64"])
            return self.base64_picture(item["image_base64"])
        check_fields(item, ["pixels"], ["image_base64"])
        return self.pixels(item["pixels"])


def _has_more_scans(jpeg: bytes, most: int) -> bool:
    """Whether a JPEG file has more than so many, from marker to marker without decoding (ITU-T T.81, B.1)."""
    at = scans = 0
    while (marker := JPEG_MARKER.search(jpeg, at)) is not None:
        kind, at = jpeg[marker.end() - 1], marker.end()
        if kind == END:
            break
        scans += kind == SCAN
        if scans > most:
            return True
        if kind not in ALONE:
            at += int.from_bytes(jpeg[at : at + 2])
    return False


def _all_lists_of(length: int, values: list[Any]) -> bool:
    return set(map(type, values)) == {list} and set(map(len, values)) == {length}


def refuse_url(value: Any) -> None:
    """A service that fetched addresses or opened paths for its clients would work for attackers."""
    if isinstance(value, str) and (
        "://" in value[:32] or value.startswith(("data:", "/", "./", "../", "~", "\\")) or value[1:3] == ":\\"
    ):
        raise HttpError(
            "url_not_accepted",
            "Addresses and paths are not fetched. Send the picture itself, not where it lies.",
        )


def refuse_url_of_picture(text: Any) -> None:
    """As refuse_url, but base64 of a JPEG begins with a slash ("/9j/"): a path has other letters."""
    if isinstance(text, str) and text.startswith("/9j/"):
        return
    refuse_url(text)
