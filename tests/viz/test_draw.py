"""What is drawn is where it should be."""

import numpy as np
import torch

from traqpoint.types import Tracks
from traqpoint.viz.draw import CORRECT, WRONG, draw_keypoints, draw_matches, draw_trails

GREY = np.full((60, 80, 3), 100, dtype=np.uint8)


def centre_of_change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Centre of mass (x, y) of what was drawn, in corner-convention pixels."""
    weight = np.abs(after.astype(float) - before).sum(-1)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]] + 0.5
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


def test_a_keypoint_is_drawn_at_its_sub_pixel_position():
    """The ring's centre of mass is the keypoint in the corner convention, and the input stays as it is."""
    for xy in ([40.5, 30.5], [41.0, 30.0], [20.25, 33.75]):
        drawn = draw_keypoints(GREY, torch.tensor([xy]), radius=6)
        assert np.abs(centre_of_change(GREY, drawn) - xy).max() < 0.15
    assert bool((GREY == 100).all())


def test_nothing_to_draw_is_fine():
    """Empty inputs give a picture of the right size."""
    nothing = torch.empty(0, 2)
    empty = torch.empty(0, dtype=torch.long)
    assert np.array_equal(draw_keypoints(GREY, nothing), GREY)
    assert draw_matches(GREY, GREY[:30, :50], nothing, nothing).shape == (60, 130, 3)
    assert draw_matches(GREY, GREY, nothing, nothing, torch.empty(0, dtype=torch.bool)).shape == (60, 160, 3)
    assert draw_trails(GREY, Tracks(empty, empty, empty, nothing, 1), 0).shape == GREY.shape


def test_matches_end_at_their_keypoints_in_their_colour():
    """Correct matches are green and wrong ones red at both ends; the second image stands to the right."""
    a, b = torch.tensor([[10.5, 10.5], [10.5, 50.5]]), torch.tensor([[60.5, 10.5], [60.5, 50.5]])
    drawn = draw_matches(GREY, GREY, a, b, torch.tensor([True, False]))
    for x in (10, 80 + 60):
        assert tuple(drawn[10, x]) == CORRECT and tuple(drawn[50, x]) == WRONG
    assert drawn[10, 75, 1] > drawn[10, 75, 0] and drawn[50, 75, 0] > drawn[50, 75, 1]
    assert np.ptp(drawn[30]) == 0


def test_trails_show_the_past_of_living_tracks_only():
    """A track seen now has its past drawn, `length` frames back; a track that ended and a lone point are not drawn."""
    rows = [(0, t, 5.5 + 10 * t, 20.5) for t in range(7)] + [(1, t, 5.5 + 10 * t, 40.5) for t in range(3)]
    rows += [(2, 6, 70.5, 50.5)]
    columns = torch.tensor(rows, dtype=torch.float32)
    tracks = Tracks(columns[:, 1].long(), columns[:, 0].long(), columns[:, 0].long(), columns[:, 2:], 7)
    background = draw_trails(GREY, tracks, 99)
    changed = (draw_trails(GREY, tracks, 6, length=4) != background).any(-1)
    assert changed[20, 36:66].all() and not changed[20, :33].any()
    assert not changed[30:].any()
    assert (draw_trails(GREY, tracks, 2, length=30) != background).any(-1)[40, 6:25].all()


def test_older_trails_are_warmer():
    """A trail that fills the length is redder than a young one."""
    rows = [(0, t, 5.5 + 8 * t, 20.5) for t in range(8)] + [(1, t, 5.5 + 8 * t, 40.5) for t in range(6, 8)]
    columns = torch.tensor(rows, dtype=torch.float32)
    tracks = Tracks(columns[:, 1].long(), columns[:, 0].long(), columns[:, 0].long(), columns[:, 2:], 8)
    drawn = draw_trails(GREY, tracks, 7, length=8).astype(int)
    assert drawn[20, 61, 0] > drawn[20, 61, 2] and drawn[40, 61, 2] > drawn[40, 61, 0]


def test_short_tracks_are_not_drawn_on_request():
    image = np.full((40, 60, 3), 120, dtype=np.uint8)
    frame, zero = torch.tensor([0, 1]), torch.zeros(2, dtype=torch.long)
    tracks = Tracks(frame, zero, zero, torch.tensor([[10.0, 20.0], [40.0, 20.0]]), 2)
    assert (draw_trails(image, tracks, 1) != draw_trails(image, tracks, 1, min_length=3)).any()
