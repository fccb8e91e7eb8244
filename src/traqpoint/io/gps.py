"""Where EXIF says that a photograph was taken."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from traqpoint import optional

_GPS = 0x8825
"""EXIF's directory of GPS; in it 1 to 4 are N or S, latitude, E or W, longitude."""


def read_gps(path: str | Path) -> tuple[float, float] | None:
    """(latitude, longitude) in degrees of WGS 84, north and east positive; None if the file does not say or cannot be
    read."""
    image = optional.load("PIL.Image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, and of odd EXIF
            with image.open(path) as file:
                tags = file.getexif().get_ifd(_GPS)
        latitude, longitude = _degrees(tags[2], tags[1] == "S"), _degrees(tags[4], tags[3] == "W")
    except (OSError, ValueError, TypeError, SyntaxError, KeyError, ZeroDivisionError, image.DecompressionBombError):
        return None
    return (latitude, longitude) if abs(latitude) <= 90 and abs(longitude) <= 180 else None


def _degrees(parts: Any, negative: bool) -> float:
    """Degrees, minutes and seconds, rationals each."""
    degrees, minutes, seconds = map(float, parts)
    return (-1 if negative else 1) * (degrees + minutes / 60 + seconds / 3600)
