"""Depth maps of RGB-D cameras: read, cleaned of what cannot be trusted, and brought into the colour camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint import optional
from traqpoint.errors import GeometryError
from traqpoint.geometry.depth import sample_depth
from traqpoint.geometry.pixels import inside, opencv_K_from_colmap, pixel_grid
from traqpoint.geometry.warp import carry_depth
from traqpoint.image import read_image_file

PLAUSIBLE_METRES = (0.05, 200.0)
"""The median depth of a frame in the right unit: nothing nearer than a hand, nothing farther than a street."""
MAX_JUMP = 0.05
"""Relative difference of depths two pixels apart that is an edge; a floor 5 m away, seen from 1.5 m, has 0.013."""
EDGE_PX = 2
"""Pixels beside an edge that may belong to either side: colour and depth are registered no better."""


def read_depth(path: Path, units_per_metre: float, unknown: tuple[int, ...] = (0,)) -> Tensor:
    """A 16-bit PNG as z-depth (H, W) in metres; the values in `unknown` become NaN.

    Raises ImageError if the file is missing or damaged; GeometryError naming it if it is no single 16-bit channel, has
    no depth at all, or its median is beyond PLAUSIBLE_METRES: then the unit is another one.
    """
    cv2 = optional.load("cv2")
    raw = cv2.imdecode(np.frombuffer(read_image_file(path), dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if raw is None or raw.dtype != np.uint16 or raw.ndim != 2:
        found = "nothing that can be decoded" if raw is None else f"{raw.dtype} of shape {raw.shape}"
        raise GeometryError(f"{path}: a depth map is a PNG with one 16-bit channel, this one holds {found}")
    depth = torch.from_numpy(raw.astype(np.float32))
    for value in unknown:
        depth = depth.masked_fill(depth == value, torch.nan)
    depth = depth / units_per_metre
    median = float(depth.nanmedian())
    if np.isnan(median):
        raise GeometryError(f"{path}: no pixel has a depth")
    low, high = PLAUSIBLE_METRES
    if not low <= median <= high:
        raise GeometryError(
            f"{path}: the median depth is {median:.4g} m when {units_per_metre:g} units are a metre: wrong unit?"
        )
    return depth


def reject_edges(depth: Tensor, max_jump: float = MAX_JUMP, margin: int = EDGE_PX) -> Tensor:
    """Depth (H, W) with NaN where a 3x3 neighbourhood differs by more than `max_jump`, and up to `margin` px beside.

    The border of a hole is no edge: the other side is not known.
    """
    known = torch.isfinite(depth)
    far = F.max_pool2d(depth.masked_fill(~known, -torch.inf)[None, None], 3, 1, 1)
    near = -F.max_pool2d(-depth.masked_fill(~known, torch.inf)[None, None], 3, 1, 1)
    edge = (far > near * (1 + max_jump)).float()
    edge = F.max_pool2d(edge, 2 * margin + 1, 1, margin)[0, 0] > 0
    return depth.masked_fill(edge, torch.nan)


def undistort(image: np.ndarray, depth: Tensor, K: Tensor, distortion: tuple[float, ...]) -> tuple[np.ndarray, Tensor]:
    """What a camera with the same K (3, 3), ours, and no distortion would have seen.

    image: uint8 (H, W, 3). depth: (H, W), of the distorted camera too. distortion: k1 k2 p1 p2 k3, OpenCV's. The image
    is interpolated, of the depth single pixels are taken; what the distorted image does not show has no depth.
    """
    cv2 = optional.load("cv2")
    height, width = depth.shape
    opencv_K = opencv_K_from_colmap(K).numpy().astype(np.float64)
    maps = cv2.initUndistortRectifyMap(opencv_K, np.array(distortion), None, opencv_K, (width, height), cv2.CV_32FC1)
    image = cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    straight = cv2.remap(depth.numpy(), *maps, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=np.nan)
    return image, torch.from_numpy(straight)


def look_through(depth: Tensor, depth_K: Tensor, color_K: Tensor) -> Tensor:
    """Depth (H, W) of a camera with depth_K as one of the same size, place and direction with color_K sees it.

    depth_K, color_K: (3, 3). NaN beyond the depth map's border.
    """
    xy = pixel_grid(*depth.shape)
    depth_from_color = depth_K @ torch.linalg.inv(color_K)
    there = xy * depth_from_color.diagonal()[:2] + depth_from_color[:2, 2]
    return sample_depth(depth[None], there[None]).reshape(depth.shape)


def move(depth: Tensor, depth_K: Tensor, color_K: Tensor, color_from_depth: Tensor) -> Tensor:
    """Depth (H, W) of one camera as one of the same size elsewhere sees it: each pixel lands in one, the nearest wins.

    depth_K, color_K: (3, 3). color_from_depth: (4, 4). NaN where nothing lands.
    """
    height, width = depth.shape
    xy = pixel_grid(height, width)
    landed, z = carry_depth(xy[None], depth.reshape(1, -1), depth_K[None], color_K[None], color_from_depth[None])
    seen = inside(landed[0], width, height)
    x, y = landed[0][seen].long().unbind(-1)
    nearest = torch.full((height * width,), torch.inf)
    nearest.scatter_reduce_(0, y * width + x, z[0][seen], "amin")
    return nearest.masked_fill(torch.isinf(nearest), torch.nan).reshape(depth.shape)
