"""Turned and resized copies of an image, for networks that see neither turns nor sizes beyond those they learned.

What is found in each copy, one keypoint at one place in each, is all kept: their descriptors differ as the copies do
(docs/matching.md), and which of them another image needs is for the matcher to find out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from traqpoint.geometry.orientation import is_sideways, stored_directions_deg, stored_xy
from traqpoint.image import Picture
from traqpoint.types import Features

_ORIENTATION_AFTER = (1, 8, 3, 6)
"""EXIF's orientation of the image, if its copy after so many quarter turns is the upright one."""


def turned(picture: Picture, quarters: int) -> Picture:
    """The picture after so many quarter turns to the left."""
    if isinstance(picture, np.ndarray):
        return np.rot90(picture, quarters)
    return torch.rot90(picture, quarters, (1, 2))


def of_copy(features: Features, quarters: int) -> Features:
    """What was found in a copy after so many quarter turns, in the pixels of the picture before, with its frames."""
    n = features.keypoints.new_ones(len(features))
    return turned_back(replace(features, scales=n, angles_deg=0 * n), _ORIENTATION_AFTER[quarters])


def turned_back(features: Features, orientation: int) -> Features:
    """Features of the upright image, as those of the one that is stored with EXIF's `orientation`."""

    def back(size: tuple[int, int]) -> tuple[int, int]:
        return (size[1], size[0]) if is_sideways(orientation) else size

    angles = features.angles_deg
    return replace(
        features,
        keypoints=stored_xy(features.keypoints, orientation, features.image_size),
        image_size=back(features.image_size),
        found_at=features.found_at and back(features.found_at),
        angles_deg=None if angles is None else stored_directions_deg(angles, orientation),
    )


def merged(copies: Sequence[Features], count: int) -> Features:
    """The best `count` of all copies of one image, best first: equally many of each, as far as each has them.

    By scores alone an enlarged copy, which has more pixels to choose from, would leave little of the others.
    """
    parts = ("keypoints", "scores", "descriptors", "scales", "angles_deg")
    together: dict[str, Any] = {part: torch.cat([getattr(f, part) for f in copies]) for part in parts}
    joined = replace(copies[0], **together)
    rank = torch.cat([torch.arange(len(f)) for f in copies])
    kept = rank.argsort(stable=True)[:count]
    return joined.take(kept[joined.scores[kept].argsort(descending=True, stable=True)])
