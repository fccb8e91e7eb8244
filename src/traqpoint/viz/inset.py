"""A camera's path from above, in a corner of what it sees."""

from __future__ import annotations

import numpy as np

from traqpoint import optional
from traqpoint.viz.draw import WRONG, Colour

_PATH: Colour = (245, 245, 245)
_AHEAD: Colour = (120, 120, 120)
_CAMERA: Colour = (255, 190, 40)
_SHARE, _MARGIN = 0.36, 0.1
"""The box's side as a share of the image's height, and the border in it that stays free."""


def draw_path(image: np.ndarray, centres: np.ndarray, frame: int, forward: np.ndarray, lost: bool) -> np.ndarray:
    """A copy of `image`, uint8 (H, W, 3), with the camera on its path in the upper right corner, x to the right and
    the first camera's view upwards.

    centres: (N, 3) of the whole path, those after `frame` are drawn darker. forward: (3,) where this camera looks.
    lost: it is drawn in red.
    """
    cv2 = optional.load("cv2")
    out = np.ascontiguousarray(image).copy()
    side = max(8, min(round(_SHARE * image.shape[0]), image.shape[1]))
    box = out[:side, image.shape[1] - side :]
    box[:] = box // 4
    cv2.rectangle(box, (0, 0), (side - 1, side - 1), _AHEAD, 1)
    places = _places(centres[:, [0, 2]], side)
    for part, colour in ((places[frame:], _AHEAD), (places[: frame + 1], _PATH)):
        cv2.polylines(box, [part], False, colour, 1, cv2.LINE_AA)
    colour = WRONG if lost else _CAMERA
    ahead = np.array([forward[0], -forward[2]]) * side / 10  # short where the camera looks down, or up
    across = 0.4 * np.array([-ahead[1], ahead[0]])
    corners = np.round(places[frame] + np.stack([ahead, across, -across])).astype(np.int32)
    cv2.fillConvexPoly(box, corners, colour, cv2.LINE_AA)
    cv2.circle(box, places[frame].tolist(), max(1, side // 40), colour, cv2.FILLED, cv2.LINE_AA)
    return out


def _places(ground: np.ndarray, side: int) -> np.ndarray:
    """Points (N, 2) of the ground as int32 pixels (N, 2) of a square, to one scale, in its middle."""
    low, high = ground.min(axis=0), ground.max(axis=0)
    scale = (1 - 2 * _MARGIN) * side / max(float((high - low).max()), 1e-9)
    offset = (ground - (low + high) / 2) * scale
    return np.round(side / 2 + offset * [1, -1]).astype(np.int32)
