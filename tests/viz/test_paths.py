"""Trajectories from above."""

import numpy as np
import pytest

from traqpoint.errors import DataError
from traqpoint.image import read_image
from traqpoint.viz.paths import plot_paths

pytest.importorskip("matplotlib", reason="needs the viz extra")


def test_the_picture_shows_the_plane_of_motion_with_the_longest_way_to_the_right(tmp_path):
    """A straight way along z, where every axis but the scale is flat, is wide and low; a square one is higher."""
    line = np.zeros((5, 3))
    line[:, 2] = np.arange(5)
    plot_paths({"SIFT": line}, tmp_path / "line.png", truth=line)
    square = np.array([[0.0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]])
    plot_paths({"SIFT": square, "traqpoint-s": square + 0.1}, tmp_path / "square.png", title="square")
    low, high = (read_image(tmp_path / name).shape[0] for name in ("line.png", "square.png"))
    assert 2 * low < high
    picture = read_image(tmp_path / "square.png").reshape(-1, 3).astype(int)
    for colour in ((0x4C, 0x78, 0xA8), (0xE4, 0x57, 0x2E)):
        assert (np.abs(picture - np.array(colour)).sum(1) < 6).sum() > 100


def test_a_camera_that_stands_still_can_be_drawn_and_nothing_cannot(tmp_path):
    plot_paths({"SIFT": np.zeros((3, 3))}, tmp_path / "deep" / "still.png")
    assert (tmp_path / "deep" / "still.png").is_file()
    with pytest.raises(DataError, match="no path to plot"):
        plot_paths({}, tmp_path / "none.png")


def test_a_ride_uphill_is_seen_from_above(tmp_path):
    """It climbs more than it turns: the axis of least extent would be x, and the picture one from the side."""
    hill = np.array([[0.0, 0, 0], [0.1, -0.4, 1], [0, -0.8, 2]])
    turn = np.array([[0.0, 0, 0], [0.1, 0, 1], [0, 0, 2]])
    for name, path in (("hill", hill), ("turn", turn)):
        plot_paths({"SIFT": path}, tmp_path / f"{name}.png", up="y")
    assert (read_image(tmp_path / "hill.png") == read_image(tmp_path / "turn.png")).all()
