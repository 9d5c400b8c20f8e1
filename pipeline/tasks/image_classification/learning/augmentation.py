"""Random affine and elastic transforms of whole image batches, in plain tensor operations."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


class RandomAffine:
    """Shift, rotate, scale, shear and bend each image of a batch by its own random amounts.

    One bilinear resampling does it all.  The transform is the inverse map of
    spatial transformer networks (Jaderberg et al. 2015, arXiv:1506.02025):
    output pixel -> input position, with zeros outside the image.  The optional
    elastic part adds a smooth random displacement (after Simard et al. 2003,
    "Best Practices for Convolutional Neural Networks"): a coarse grid of random
    vectors, enlarged bicubically instead of smoothed by a Gaussian.

    Args:
        max_shift: largest shift along each axis, in pixels; uniform in [-s, s].
        max_rotation: largest rotation, in degrees; uniform in [-r, r].
        scale_range: (smallest, largest) magnification, log-uniform, drawn
            separately for x and y.
        max_shear: largest horizontal shear, as a tangent; uniform in [-k, k].
        max_bend: largest displacement of a control point, in pixels; 0 for none.
        bend_points: control points along each axis.
    """

    def __init__(
        self,
        max_shift: float = 2.0,
        max_rotation: float = 10.0,
        scale_range: tuple[float, float] = (0.9, 1.1),
        max_shear: float = 0.0,
        max_bend: float = 0.0,
        bend_points: int = 5,
    ) -> None:
        self.max_shift = max_shift
        self.max_rotation = max_rotation
        self.scale_range = scale_range
        self.max_shear = max_shear
        self.max_bend = max_bend
        self.bend_points = bend_points

    def __call__(
        self,
        images: Tensor,
        generator: torch.Generator | None = None,
        rank: int = 0,
        processes: int = 1,
    ) -> Tensor:
        """Return the transformed images.

        Args:
            images: (N, C, H, W), uint8 or float in 0..255; 0 is the background.
            generator: source of randomness.  It may live on the CPU whatever
                the device of the images, so that a seed means the same on each.
            rank, processes: the images are slice `rank` of as many equal ones of a
                batch; its images are transformed as those of the whole batch are.

        Returns:
            float32 images of the same shape and range, on the same device.
        """
        count, _, height, width = images.shape
        whole, own = count * processes, slice(rank * count, (rank + 1) * count)
        maps = self._inverse_maps(whole, height, width, generator)[own].to(images.device)
        grid = F.affine_grid(maps, list(images.shape), align_corners=False)
        if self.max_bend:
            grid = grid + self._bends(whole, height, width, generator, images.device)[own]
        return F.grid_sample(images.to(torch.float32), grid, mode="bilinear", align_corners=False)

    def _inverse_maps(self, count: int, height: int, width: int, generator: torch.Generator | None) -> Tensor:
        """Return `count` random 2x3 maps in the [-1, 1] coordinates of `affine_grid`."""
        draws = self._uniform((6, count), generator)
        angle = draws[0] * math.radians(self.max_rotation)
        shear = draws[1] * self.max_shear
        low, high = (math.log(bound) for bound in self.scale_range)
        zoom_x, zoom_y = torch.exp(-((low + high) / 2 + draws[2:4] * (high - low) / 2))
        shift_x, shift_y = draws[4:6] * self.max_shift
        cos, sin = torch.cos(angle), torch.sin(angle)
        # rotation @ shear @ zoom in pixels; x is then measured in half widths, y in half heights
        a, b = cos * zoom_x, (cos * shear - sin) * zoom_y * (height / width)
        c, d = sin * zoom_x * (width / height), (sin * shear + cos) * zoom_y
        rows = torch.stack([a, b, shift_x * 2 / width, c, d, shift_y * 2 / height], dim=1)
        return rows.view(count, 2, 3)

    def _bends(
        self,
        count: int,
        height: int,
        width: int,
        generator: torch.Generator | None,
        device: torch.device,
    ) -> Tensor:
        """Return smooth displacements (N, H, W, 2) in the coordinates of `affine_grid`."""
        points = self._uniform((count, 2, self.bend_points, self.bend_points), generator)
        per_pixel = torch.tensor([2 / width, 2 / height]).view(1, 2, 1, 1)
        points = (points * self.max_bend * per_pixel).to(device)
        field = F.interpolate(points, (height, width), mode="bicubic", align_corners=True)
        return field.permute(0, 2, 3, 1)

    @staticmethod
    def _uniform(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
        """Return numbers uniform in [-1, 1) from the generator."""
        device = generator.device if generator is not None else "cpu"
        return torch.rand(shape, generator=generator, device=device) * 2 - 1
