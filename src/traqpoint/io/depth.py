"""Depth maps of RGB-D cameras (16-bit PNG) and of MegaDepth (HDF5). COLMAP's own are in colmap_depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.errors import GeometryError
from traqpoint.image import read_image_file

PLAUSIBLE_METRES = (0.05, 200.0)
"""The median depth of a frame in the right unit: nothing nearer than a hand, nothing farther than a street."""


def read_depth_png(path: Path, units_per_metre: float, unknown: tuple[int, ...] = (0,)) -> Tensor:
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


def read_depth_h5(path: str | Path) -> Tensor:
    """Dataset /depth of an HDF5 file as (H, W) z-depth in the reconstruction's own unit; NaN where it is not positive.

    Raises GeometryError naming the file if it is missing, damaged or without such a dataset.
    """
    h5py = optional.load("h5py")
    if not Path(path).is_file():
        raise GeometryError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            depth = torch.from_numpy(np.asarray(file["depth"], dtype=np.float32))
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise GeometryError(f"{path}: no depth map can be read from it ({error})") from None
    if depth.ndim != 2:
        raise GeometryError(f"{path}: a depth map is (H, W), this one is {tuple(depth.shape)}")
    return depth.masked_fill(~(torch.isfinite(depth) & (depth > 0)), torch.nan)
