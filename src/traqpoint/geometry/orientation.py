"""How cameras store what they were turned for: EXIF's orientation, a number from 1 to 8.

Images are looked at upright; files, and all who read them as they are (COLMAP, hloc), have the stored pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

UPRIGHT = 1
"""Stored as it is looked at."""


def is_sideways(orientation: int) -> bool:
    """Whether width and height of the stored image are the height and width of the upright one."""
    return orientation >= 5


def stored_xy(xy: Tensor, orientation: int, upright_size: tuple[int, int]) -> Tensor:
    """Pixels (..., 2) of the upright image, which is (W, H) large, as pixels of the stored one. EXIF 2.32, tag 274."""
    x, y = xy.unbind(-1)
    u, v = upright_size[0] - x, upright_size[1] - y  # from the right edge, from the lower edge
    turned = {1: (x, y), 2: (u, y), 3: (u, v), 4: (x, v), 5: (y, x), 6: (y, u), 7: (v, u), 8: (v, x)}
    return torch.stack(turned[orientation], dim=-1)


def stored_directions_deg(angles_deg: Tensor, orientation: int) -> Tensor:
    """Directions (...,) in the upright image, clockwise from its x axis, as those in the stored image, in [0, 360)."""
    along = torch.stack([angles_deg.deg2rad().cos(), angles_deg.deg2rad().sin()], dim=-1)
    x, y = (stored_xy(along, orientation, (0, 0)) - stored_xy(torch.zeros_like(along), orientation, (0, 0))).unbind(-1)
    return torch.atan2(y, x).rad2deg() % 360


def stored_image(image: np.ndarray, orientation: int) -> np.ndarray:
    """The upright image (H, W, ...) as it is stored."""
    if is_sideways(orientation):
        image = image.swapaxes(0, 1)
    down, right = orientation in (3, 4, 6, 7), orientation in (2, 3, 7, 8)
    return image[:: -1 if down else 1, :: -1 if right else 1]


def upright_image(image: np.ndarray, orientation: int) -> np.ndarray:
    """The stored image (H, W, ...) as it is looked at: turning to the left undoes turning to the right."""
    return stored_image(image, {6: 8, 8: 6}.get(orientation, orientation))
