"""Depth maps of COLMAP's dense stereo (``stereo/depth_maps/*.geometric.bin``, ``*.photometric.bin``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from traqpoint.errors import FormatError

_HEADER_BYTES = 64


def read_depth_map(path: str | Path) -> Tensor:
    """z-depth (H, W) float32 in the model's unit, NaN where COLMAP has none.

    The file is the text ``W&H&1&`` and W · H little-endian float32, row by row; 0 is unknown. Raises FormatError naming
    the file.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from None
    words = data[:_HEADER_BYTES].split(b"&")[:3]
    if len(words) < 3 or not all(word.strip().isdigit() for word in words):
        raise FormatError(f"{path}: not a COLMAP depth map (it begins with width&height&channels&)")
    width, height, channels = map(int, words)
    start = sum(len(word) + 1 for word in words)
    if channels != 1 or len(data) - start != 4 * width * height or not width * height:
        raise FormatError(f"{path}: {width}x{height}x{channels} floats announced, {len(data) - start} bytes follow")
    depth = torch.from_numpy(np.frombuffer(data, "<f4", offset=start).astype(np.float32).reshape(height, width))
    return torch.where(torch.isfinite(depth) & (depth > 0), depth, torch.nan)
