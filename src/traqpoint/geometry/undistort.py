"""Images of distorting lenses, and their depth, as a pinhole camera would have taken them."""

from __future__ import annotations

import torch
from torch import Tensor

from traqpoint.geometry.camera import Camera
from traqpoint.geometry.pixels import inside, pixel_grid
from traqpoint.geometry.sampling import sample, warp_image


def undistort(image: Tensor, camera: Camera, depth: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """What `camera.pinhole` would have seen.

    image: (3, H, W), interpolated; what lies beyond the picture repeats its border. depth: (H, W) z-depth of the same
    camera, of which single pixels are taken; NaN beyond. Both are returned as they are if the lens does not distort.
    """
    if not camera.distorted:
        return image, depth
    height, width = image.shape[-2:]
    rays = camera.pinhole.unproject(pixel_grid(height, width).to(camera.params))
    xy = camera.project(rays).float()
    straight = warp_image(image[None], xy.reshape(1, height, width, 2), padding_mode="border")[0]
    if depth is not None:
        depth = sample(depth[None, None], xy[None], (width, height), mode="nearest").reshape(height, width)
        depth = torch.where(inside(xy, width, height).reshape(height, width), depth, torch.nan)
    return straight, depth
