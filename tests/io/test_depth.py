"""Depth files: what is no depth is unknown, what is no depth map an error that names the file."""

import h5py
import numpy as np
import pytest
from wavy_world import write_png

from traqpoint.errors import GeometryError
from traqpoint.io.depth import read_depth_h5, read_depth_png


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (np.zeros((4, 4), np.uint16), "no pixel has a depth"),
        (np.full((4, 4), 80, np.uint8), "one 16-bit channel, this one holds uint8"),
        (np.full((4, 4, 3), 800, np.uint16), "one 16-bit channel"),
    ],
)
def test_a_png_that_is_no_depth_map_is_refused(raw, message, tmp_path):
    """All holes, 8 bits, three channels: one error that names the file."""
    write_png(tmp_path / "d.png", raw)
    with pytest.raises(GeometryError, match=f"d.png: .*{message}"):
        read_depth_png(tmp_path / "d.png", 1000.0)


def test_depth_that_is_not_positive_is_unknown(tmp_path):
    """0, the ordinal labels below it, NaN and infinity."""
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["depth"] = np.array([[0, -1, np.nan, np.inf, 2.5]], dtype=np.float32)
    assert read_depth_h5(tmp_path / "d.h5").isfinite().tolist() == [[False, False, False, False, True]]
