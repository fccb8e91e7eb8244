"""Features are found on the upright image, and kept in the pixels of the file as it is."""

from __future__ import annotations

from pathlib import Path

from traqpoint.geometry.orientation import UPRIGHT
from traqpoint.image import read_orientation
from traqpoint.inference.copies import turned_back
from traqpoint.types import Features


def in_file_pixels(features: Features, path: Path) -> Features:
    """Features of the upright image, as those of its file, which EXIF may say is to be turned or mirrored first."""
    orientation = read_orientation(path)
    return features if orientation == UPRIGHT else turned_back(features, orientation)
