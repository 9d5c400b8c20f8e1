"""Large pictures beside each other: as many as there is memory for, and none waits for ever."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.core.serve_parameters import Admission
from pipeline.tasks.image_classification.data import pixels
from serving.decoding_room import DecodingRoom
from serving.http_errors import HttpError
from serving.image_application import ImageApplication, ImageState
from tests.serving.answers import refused
from tests.serving.asgi_client import AsgiClient
from tests.serving.pictures import digit, encoded
from tests.serving.synthetic import SETTINGS

PATIENT, HASTY = (Admission(waiting_max=99, wait_ms_max=ms) for ms in (10_000, 50))
SIDE = 200
GREY = Image.new("L", (SIDE, SIDE))  # takes 3 bytes of a pixel
PNG = {"content-type": "image/png"}


def most_at_once(room: DecodingRoom, image: Image.Image, pictures: int) -> int:
    """How many of so many pictures were in the room together."""
    lock, meet = threading.Lock(), threading.Event()
    inside: list[int] = []
    now = 0

    def decode() -> None:
        nonlocal now
        with room.of(image):
            with lock:
                now += 1
                inside.append(now)
            meet.wait(0.05)
            with lock:
                now -= 1

    with ThreadPoolExecutor(pictures) as threads:
        for done in [threads.submit(decode) for _ in range(pictures)]:
            done.result()
    assert len(inside) == pictures
    return max(inside)


@pytest.mark.parametrize(
    ("image", "together"),
    [
        (GREY, 8),
        (Image.new("RGB", (SIDE, SIDE)), 2),
        (Image.new("RGBA", (SIDE, SIDE)), 1),
        (Image.new("P", (SIDE, SIDE)), 1),
        (Image.new("I;16", (SIDE, SIDE)), 1),
        (Image.new("L", (4 * SIDE, SIDE)), 2),
    ],
)
def test_pictures_are_decoded_beside_each_other_as_far_as_there_is_room(
    image: Image.Image, together: int
) -> None:
    assert most_at_once(DecodingRoom(24 * SIDE**2, PATIENT), image, 8) == together


def test_grey_with_a_transparent_colour_takes_as_much_as_transparency_does() -> None:
    file = io.BytesIO()
    GREY.save(file, "PNG", transparency=0)
    with Image.open(file) as image:
        assert image.mode == "L"
        assert most_at_once(DecodingRoom(24 * SIDE**2, PATIENT), image, 3) == 1


def test_who_waits_too_long_is_told_so_and_one_that_fails_leaves_its_room() -> None:
    room = DecodingRoom(1, HASTY)
    with room.of(GREY):
        with pytest.raises(HttpError) as caught, room.of(GREY):
            pass
        assert caught.value.code == "overloaded"
        assert caught.value.headers == {"retry-after": "1"}
    with pytest.raises(OSError, match="damaged"), room.of(GREY):
        raise OSError("damaged")
    with room.of(GREY):
        pass


def test_a_service_decodes_large_pictures_there_and_small_ones_past_it(
    state: ImageState, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = ImageApplication(state, SETTINGS.model_copy(update={"admission": HASTY}))
    client = AsgiClient(application)
    application.room = DecodingRoom(1, HASTY)
    large, small = encoded(np.zeros((300, 300), dtype=np.uint8)), encoded(digit())
    assert client.post("/predict", content=large, headers=PNG).status_code == 200
    from_image, refusals = pixels.from_image, []

    def meanwhile(*given: Any) -> np.ndarray:
        monkeypatch.setattr(pixels, "from_image", from_image)
        refusals.append(client.post("/predict", content=large, headers=PNG))
        assert client.post("/predict", content=small, headers=PNG).status_code == 200
        return from_image(*given)

    monkeypatch.setattr(pixels, "from_image", meanwhile)
    assert client.post("/predict", content=large, headers=PNG).status_code == 200
    assert refused(refusals[0], "overloaded")
