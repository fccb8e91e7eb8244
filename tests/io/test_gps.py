"""GPS of EXIF."""

import numpy as np
from PIL import Image

from traqpoint.io.gps import read_gps


def write(path, tags):
    exif = Image.Exif()
    exif[0x8825] = tags
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path, exif=exif)
    return path


def test_degrees_minutes_and_seconds_with_their_hemispheres(tmp_path):
    sydney = write(tmp_path / "s.jpg", {1: "S", 2: (33.0, 51.0, 36.0), 3: "E", 4: (151.0, 12.0, 18.0)})
    assert np.allclose(read_gps(sydney), (-33.86, 151.205))
    west = write(tmp_path / "w.jpg", {1: "N", 2: (0.0, 30.0, 0.0), 3: "W", 4: (10.0, 0.0, 0.0)})
    assert np.allclose(read_gps(west), (0.5, -10.0))


def test_whatever_is_no_place_is_none(tmp_path):
    """No file, no image, no GPS, half of it, degrees that there are not."""
    (tmp_path / "text.jpg").write_text("hello")
    assert read_gps(tmp_path / "nothing.jpg") is None and read_gps(tmp_path / "text.jpg") is None
    assert read_gps(write(tmp_path / "none.jpg", {})) is None
    assert read_gps(write(tmp_path / "half.jpg", {1: "N", 2: (1.0, 0.0, 0.0)})) is None
    assert read_gps(write(tmp_path / "far.jpg", {1: "N", 2: (95.0, 0.0, 0.0), 3: "E", 4: (1.0, 0.0, 0.0)})) is None
