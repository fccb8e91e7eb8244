"""Features are found on the upright image, and kept in the pixels of the file as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from traqpoint.geometry.orientation import UPRIGHT, is_sideways, stored_xy
from traqpoint.image import read_orientation
from traqpoint.types import Features


def in_file_pixels(features: Features, path: Path) -> Features:
    """Features of the upright image, as those of its file, which EXIF may say is to be turned or mirrored first."""
    orientation = read_orientation(path)
    if orientation == UPRIGHT:
        return features

    def turned(size: tuple[int, int]) -> tuple[int, int]:
        return (size[1], size[0]) if is_sideways(orientation) else size

    return replace(
        features,
        keypoints=stored_xy(features.keypoints, orientation, features.image_size),
        image_size=turned(features.image_size),
        found_at=features.found_at and turned(features.found_at),
    )
