"""Reading maps at sub-pixel positions. The only place in the package that calls `grid_sample`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def sample(map: Tensor, xy: Tensor, image_size: tuple[int, int], mode: str = "bilinear") -> Tensor:
    """Read a map at pixel positions.

    map: (B, C, h, w), any resolution, covering the whole image. xy: (B, N, 2) pixels of the image.
    image_size: (W, H). mode: "bilinear" or "nearest". Returns (B, N, C); positions outside take the border's value,
    NaN positions give NaN.
    """
    # Written out: ONNX Runtime up to 1.23 gives the `any` of no positions at all a wrong shape.
    undefined = torch.isnan(xy[..., :1]) | torch.isnan(xy[..., 1:])
    out = sample_defined(map, xy, image_size, mode)
    return torch.where(undefined, out.new_tensor(torch.nan), out)


def sample_defined(map: Tensor, xy: Tensor, image_size: tuple[int, int], mode: str = "bilinear") -> Tensor:
    """`sample` in two thirds of its time: NaN positions give some value of the map."""
    size = _followed(image_size).to(xy) if torch.onnx.is_in_onnx_export() else xy.new_tensor(image_size)
    grid = (2 * xy / size - 1).to(map.dtype)
    # NaN reads out of bounds in some backends.
    grid = torch.where(torch.isnan(grid), torch.zeros_like(grid), grid).unsqueeze(1)
    out = F.grid_sample(map, grid, mode=mode, padding_mode="border", align_corners=False)
    return out.squeeze(2).transpose(1, 2)


def _followed(image_size: tuple[int, int]) -> Tensor:
    """(W, H) as a tensor of what a traced graph will be given, not of what it was traced with."""
    return torch.stack([torch.as_tensor(side) for side in image_size])


def warp_image(image: Tensor, xy: Tensor, padding_mode: str = "reflection") -> Tensor:
    """Resample images: output pixel (i, j) takes the colour that `image` has at xy[i, j].

    image: (B, C, h, w). xy: (B, H, W, 2) pixels of `image`. Returns (B, C, H, W), bilinear.
    """
    size = xy.new_tensor((image.shape[-1], image.shape[-2]))
    grid = 2 * xy / size - 1
    return F.grid_sample(image, grid, mode="bilinear", padding_mode=padding_mode, align_corners=False)


def sample_descriptors(map: Tensor, xy: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Bilinear descriptors of unit norm: map (B, D, h, w), xy (B, N, 2) -> (B, N, D)."""
    return F.normalize(sample(map, xy, image_size), dim=-1)
