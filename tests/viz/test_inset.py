"""The path in the corner: where it is, where the camera looks, whether it is lost."""

import numpy as np

from traqpoint.viz.draw import WRONG
from traqpoint.viz.inset import _AHEAD, _CAMERA, _PATH, draw_path

GREY = np.full((200, 400, 3), 100, dtype=np.uint8)
SIDE = 72
"""0.36 of the height."""
FORWARD = np.array([0.0, 0.0, 1.0])


def coloured(image: np.ndarray, colour: tuple) -> np.ndarray:
    """Rows (K, 2) of the pixels (x, y) of about that colour inside the box, from its corner on."""
    box = image[1 : SIDE - 1, 400 - SIDE + 1 : 399].astype(int)
    return np.argwhere((abs(box - colour) < 40).all(-1))[:, ::-1] + 1


def test_a_drive_ahead_goes_up_and_one_to_the_right_goes_right():
    """Nothing outside of the box changes, nor does the input; height does not matter."""
    steps = np.arange(5.0)
    ahead = np.stack([0 * steps, 9 * steps, steps], axis=-1)
    drawn = draw_path(GREY, ahead, 4, FORWARD, lost=False)
    changed = (drawn != GREY).any(-1)
    assert changed[:SIDE, 400 - SIDE :].all() and not changed[SIDE:].any() and not changed[:, : 400 - SIDE].any()
    assert bool((GREY == 100).all())
    line, camera = coloured(drawn, _PATH), coloured(drawn, _CAMERA)
    assert np.ptp(line[:, 0]) == 0 and np.ptp(line[:, 1]) > 0.6 * SIDE
    assert camera[:, 1].mean() < line[:, 1].mean()
    drawn = draw_path(GREY, ahead[:, [2, 1, 0]], 4, np.array([1.0, 0.0, 0.0]), lost=False)
    line, camera = coloured(drawn, _PATH), coloured(drawn, _CAMERA)
    assert np.ptp(line[:, 1]) == 0 and camera[:, 0].mean() > line[:, 0].mean()


def test_what_is_yet_to_come_is_darker():
    ahead = np.stack([np.zeros(9), np.zeros(9), np.arange(9.0)], axis=-1)
    drawn = draw_path(GREY, ahead, 4, FORWARD, lost=False)
    assert np.median(coloured(drawn, _AHEAD)[:, 1]) < coloured(drawn, _PATH)[:, 1].min()
    assert abs(coloured(drawn, _CAMERA)[:, 1].mean() - SIDE / 2) < 3
    assert len(coloured(drawn, _AHEAD)) > 15 > len(coloured(draw_path(GREY, ahead, 8, FORWARD, lost=False), _AHEAD))


def test_the_camera_points_where_it_looks_and_is_red_when_it_is_lost():
    standing = np.zeros((1, 3))
    for forward, way in (([0, 0, 1], [0, -1]), ([1, 0, 0], [1, 0]), ([0, 0, -1], [0, 1]), ([-1, 0, 0], [-1, 0])):
        found = coloured(draw_path(GREY, standing, 0, np.array(forward, dtype=float), lost=True), WRONG)
        reach = (found - SIDE / 2) @ way
        assert 4 < reach.max() < 9 and -4 < reach.min() < 0
    assert len(coloured(draw_path(GREY, standing, 0, np.array([0.0, 1, 0]), lost=True), WRONG)) > 2
    assert len(coloured(draw_path(GREY, standing, 0, FORWARD, lost=False), WRONG)) == 0
