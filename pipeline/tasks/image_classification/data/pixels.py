"""From an image to the network's input, one piece of code for training and for serving.

Needs NumPy and Pillow, nothing else: the serving process has no torch.
"""

import io

import numpy as np
from PIL import Image, ImageOps

INK = 0.5  # brightness in [0, 1] above which a pixel counts as drawn on
PAPER = 0.25  # brightness below which a pixel counts as background, where noise shows
REDUCING_GAP = 3.0  # Pillow's `resize`: box-reduce first while this much larger than the target
PROPERTIES = ("brightness", "contrast", "ink", "sharpness", "offset_x", "offset_y", "noise")


def from_image(image: Image.Image, height: int, width: int, channels: int) -> np.ndarray:
    """uint8 (C, H, W), the network's input.

    channels: 1 grey, 3 colour
    An image of the right size and mode is returned unchanged, bit for bit. Others are turned
    upright (EXIF), flattened where they are transparent, shrunk or grown without distortion, and
    padded in the colour of their border. Raises what Pillow raises on a damaged file.
    """
    image = ImageOps.exif_transpose(image)
    image = _with_mode(image, "L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = _fit(image, height, width)
    pixels = np.array(image, dtype=np.uint8)
    return pixels[np.newaxis] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def png(image: np.ndarray) -> bytes:
    """A file of which from_image makes the same pixels again. image: uint8 (C, H, W)"""
    file = io.BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(file, "PNG")
    return file.getvalue()


def _with_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == mode and "transparency" not in image.info:
        return image
    if image.mode.startswith(("I", "F")):
        # 16-bit grey: Pillow would cut values above 255 off instead of scaling them.
        values = np.asarray(image).astype(np.float32) / 257
        image = Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = _flattened(image.convert("RGBA"))
    return image.convert(mode)


def _flattened(image: Image.Image) -> Image.Image:
    """Without transparency, on whichever of black and white sets off what is drawn."""
    small = image.convert("LA").resize((min(image.width, 64), min(image.height, 64)), Image.Resampling.BOX)
    grey, alpha = np.moveaxis(np.asarray(small, dtype=np.float64), -1, 0)
    drawn = float((grey * alpha).sum() / max(alpha.sum(), 1.0))
    ground = Image.new("RGBA", image.size, (0, 0, 0, 255) if drawn > 127.5 else (255, 255, 255, 255))
    return Image.alpha_composite(ground, image).convert("RGB")


def _fit(image: Image.Image, height: int, width: int) -> Image.Image:
    scale = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    colour = _border_colour(image)
    # Pillow's filters widen with the reduction, so shrinking is antialiased.
    small = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=REDUCING_GAP)
    if size == (width, height):
        return small
    padded = Image.new(image.mode, (width, height), colour)
    padded.paste(small, ((width - size[0]) // 2, (height - size[1]) // 2))
    return padded


def _border_colour(image: Image.Image) -> int | tuple[int, ...]:
    """The median of the outermost pixels, of each channel."""
    right, bottom = image.width, image.height
    rows = [(0, 0, right, 1), (0, bottom - 1, right, bottom)]
    columns = [(0, 0, 1, bottom), (right - 1, 0, right, bottom)]
    channels = len(image.getbands())
    border = np.concatenate([np.asarray(image.crop(edge)).reshape(-1, channels) for edge in rows + columns])
    colour = [int(value) for value in np.median(border, axis=0)]
    return colour[0] if channels == 1 else tuple(colour)


def properties(images: np.ndarray) -> dict[str, np.ndarray]:
    """What is easily said about each image; drift in it tells that the camera or pen has changed.

    images: uint8 (N, C, H, W)
    Returns float32 (N,) for each of PROPERTIES:
    brightness, contrast: mean and standard deviation of the brightness, in [0, 1]
    ink: share of pixels brighter than INK
    sharpness: mean absolute difference of neighbouring pixels
    offset_x, offset_y: centre of mass of the brightness from the middle, in pixels, right and down
    noise: mean absolute Laplacian over the background, 0 where there is no background
    """
    grey = images.mean(axis=1, dtype=np.float32) / np.float32(255)
    height, width = grey.shape[1:]
    brightness = grey.mean(axis=(1, 2))
    across, down = np.abs(np.diff(grey, axis=2)), np.abs(np.diff(grey, axis=1))
    mass = np.maximum(grey.sum(axis=(1, 2)), np.float32(1e-6))
    x = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
    y = np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2)
    return {
        "brightness": brightness,
        "contrast": grey.std(axis=(1, 2)),
        "ink": (grey > INK).mean(axis=(1, 2), dtype=np.float32),
        "sharpness": (across.mean(axis=(1, 2)) + down.mean(axis=(1, 2))) / 2,
        "offset_x": (grey.sum(axis=1) @ x) / mass,
        "offset_y": (grey.sum(axis=2) @ y) / mass,
        "noise": _noise(grey),
    }


def _noise(grey: np.ndarray) -> np.ndarray:
    """float32 (N,) of float32 (N, H, W). The Laplacian of smooth ground is 0, of grain it is not.

    A pixel is background if it and its four neighbours are dark, so that strokes do not count.
    """
    centre = grey[:, 1:-1, 1:-1]
    around = (grey[:, :-2, 1:-1], grey[:, 2:, 1:-1], grey[:, 1:-1, :-2], grey[:, 1:-1, 2:])
    ground = (np.maximum.reduce((centre, *around)) < PAPER).astype(np.float32)
    laplacian = np.abs(centre - sum(around) / np.float32(4))
    return np.asarray((laplacian * ground).sum(axis=(1, 2)) / np.maximum(ground.sum(axis=(1, 2)), 1))
