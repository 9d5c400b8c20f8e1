"""What can be said of how an image looks, so that errors can be sought among those that look alike.

No property knows what is shown, or whether it is bright on dark or dark on bright. The ground of an image
is the median brightness of its outermost pixels; its foreground are the pixels that differ from the ground
by more than half of the largest difference.
"""

import numpy as np

IMAGES = 2048  # that are floats at once
LEAST = 1 / 255  # difference of brightness that is one at all


def properties(images: np.ndarray) -> dict[str, np.ndarray]:
    """float32 (N,) each. images: uint8 (N, C, H, W)

    brightness      mean, in [0, 1]
    contrast        mean difference of the foreground from the ground, in [0, 1]
    sharpness       mean step across the outline of the foreground, over the contrast: about 1 where edges
                    are hard
    stroke_width    of the foreground, in pixels: twice its area over its outline, as of a long line. The
                    outline is pi / 4 of the sides of pixels between foreground and ground (Cauchy and
                    Crofton, for lines along both axes), right on average over all directions
    extent          root mean square distance of the foreground from its own centre, over half the diagonal
    offset_x, _y    centre of the foreground from that of the image, right and down, as share of its side
    slant           how far the foreground leans: pixels to the right for each pixel down (its covariance of
                    both over its variance down)
    elongation      1 less the ratio of the foreground's extents along its shorter and its longer axis,
                    in [0, 1]
    colourfulness   only of colour images, 0 is grey (Hasler and Suesstrunk 2003, doi:10.1117/12.477378)

    What has no foreground has 0 in all but brightness and colourfulness.
    """
    blocks = [_of_block(np.asarray(images[i : i + IMAGES])) for i in range(0, len(images), IMAGES)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _of_block(images: np.ndarray) -> dict[str, np.ndarray]:
    grey = images[:, 0] / np.float32(255) if images.shape[1] == 1 else images.mean(1, dtype=np.float32) / 255
    border = np.concatenate([grey[:, 0], grey[:, -1], grey[:, 1:-1, 0], grey[:, 1:-1, -1]], axis=1)
    ground = np.median(border, axis=1)
    difference = np.abs(grey - ground[:, None, None])
    least = np.maximum(difference.max((1, 2)) / 2, np.float32(LEAST / 2))
    drawn = difference > least[:, None, None]
    mask = drawn.astype(np.float32)
    area = np.maximum(mask.sum((1, 2)), 1)
    contrast = (difference * mask).sum((1, 2)) / area
    steps, sides = _outline(drawn, grey)
    found = {
        "brightness": grey.mean((1, 2)),
        "contrast": contrast,
        "sharpness": steps / np.maximum(sides, 1) / np.maximum(contrast, np.float32(LEAST)),
        "stroke_width": np.where(sides > 0, 2 * area / np.maximum(np.pi / 4 * sides, 1e-6), 0),
        **_shape(mask, area),
    }
    if images.shape[1] == 3:
        found["colourfulness"] = _colourfulness(images)
    return {name: np.asarray(values, dtype=np.float32) for name, values in found.items()}


def _outline(drawn: np.ndarray, grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the steps of brightness across the outline, and its length in sides of pixels, float32 (N,).

    Where the foreground touches the border of the image, that border is outline too, without a step.
    """
    steps, sides = np.zeros(len(grey), np.float32), np.zeros(len(grey), np.float32)
    for before, after in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:, :, :-1], np.s_[:, :, 1:])):
        crossed = drawn[before] != drawn[after]
        steps += (np.abs(grey[after] - grey[before]) * crossed).sum((1, 2))
        sides += crossed.sum((1, 2), dtype=np.float32)
    inside = sides.copy()
    for edge in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
        sides += drawn[edge].sum(1, dtype=np.float32)
    # The mean step is over the sides that have one.
    return steps * sides / np.maximum(inside, 1), sides


def _shape(mask: np.ndarray, area: np.ndarray) -> dict[str, np.ndarray]:
    """Moments of the foreground. mask: float32 (N, H, W); area: its pixels, at least 1"""
    height, width = mask.shape[1:]
    y = np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2)
    x = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
    across, down = mask.sum(1), mask.sum(2)
    mean_x, mean_y = across @ x / area, down @ y / area
    var_x = np.maximum(across @ x**2 / area - mean_x**2, 0)
    var_y = np.maximum(down @ y**2 / area - mean_y**2, 0)
    covariance = (mask @ x) @ y / area - mean_x * mean_y
    spread = np.sqrt(np.square(var_x - var_y) / 4 + np.square(covariance))
    longer, shorter = (var_x + var_y) / 2 + spread, np.maximum((var_x + var_y) / 2 - spread, 0)
    return {
        "extent": np.sqrt(var_x + var_y) / (np.hypot(height, width) / 2),
        "offset_x": mean_x / width,
        "offset_y": mean_y / height,
        "slant": covariance / np.maximum(var_y, np.float32(1e-6)),
        "elongation": np.where(longer > 0, 1 - np.sqrt(shorter / np.maximum(longer, 1e-6)), 0),
    }


def _colourfulness(images: np.ndarray) -> np.ndarray:
    red, green, blue = (images[:, k] / np.float32(255) for k in range(3))
    first, second = red - green, (red + green) / 2 - blue
    deviation = np.sqrt(first.var((1, 2)) + second.var((1, 2)))
    mean = np.sqrt(np.square(first.mean((1, 2))) + np.square(second.mean((1, 2))))
    return np.asarray(deviation + 0.3 * mean)
