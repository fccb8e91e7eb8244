"""Stereo pairs: one disparity map carries points both ways and knows what hides what."""

import pytest
import torch

from traqpoint.errors import GeometryError
from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.stereo import right_disparity, stereo_geometry
from traqpoint.types import PointState

H, W = 20, 60


def states(warped):
    return [PointState(int(s)).name for s in warped.state[0]]


def square() -> torch.Tensor:
    """Background at 5 px of disparity; columns 30 to 39 stand in front of it at 12 px."""
    disparity = torch.full((H, W), 5.0)
    disparity[:, 30:40] = 12.0
    return disparity


def test_points_move_along_their_row_by_the_disparity():
    """x_right = x_left - disparity, sub-pixel and in the corner convention; beyond the border is OUTSIDE."""
    geometry = stereo_geometry(square())
    warped = geometry.warp(0, 1, torch.tensor([[[20.25, 7.5], [35.5, 0.5], [4.9, 3.0]]]))
    torch.testing.assert_close(warped.xy[0], torch.tensor([[15.25, 7.5], [23.5, 0.5], [-0.1, 3.0]]))
    assert states(warped) == ["VISIBLE", "VISIBLE", "OUTSIDE"]


def test_what_lands_behind_a_nearer_surface_is_occluded():
    """The foreground lands on right columns 18 to 27, where left columns 23 to 29 of the background would have been."""
    geometry = stereo_geometry(square())
    left = torch.tensor([[[22.5, 5.5], [24.5, 5.5], [28.5, 5.5], [31.5, 5.5], [38.5, 5.5], [45.5, 5.5]]])
    expected = ["VISIBLE", "OCCLUDED", "OCCLUDED", "VISIBLE", "VISIBLE", "VISIBLE"]
    assert states(geometry.warp(0, 1, left)) == expected


def test_what_only_the_right_image_sees_is_unknown_from_there():
    """Right columns 28 to 34 were behind the foreground in the left image; the right border was outside of it."""
    geometry = stereo_geometry(square())
    right = torch.tensor([[[17.5, 5.5], [20.5, 5.5], [30.5, 5.5], [36.5, 5.5], [57.5, 5.5]]])
    warped = geometry.warp(1, 0, right)
    assert states(warped) == ["VISIBLE", "VISIBLE", "UNKNOWN", "VISIBLE", "UNKNOWN"]
    torch.testing.assert_close(warped.xy[0, :2], torch.tensor([[22.5, 5.5], [32.5, 5.5]]))


@pytest.mark.parametrize("slope", [-0.4, 0.0, 0.3, 0.8])
def test_a_slanted_surface_has_no_holes_and_an_exact_disparity_in_the_right_image(slope):
    """d = 8 + slope * (x - 30) in the left image is 8 + slope * (x' + 8 - 30) / (1 - slope) in the right one."""
    x = torch.arange(W) + 0.5
    left = (8 + slope * (x - 30)).expand(H, W)
    left = left.masked_fill((left < 1) | (left > 30), torch.nan)
    found = right_disparity(left)
    expected = (8 + slope * (x + 8 - 30) / (1 - slope)).expand(H, W)
    seen = found.isfinite()
    torch.testing.assert_close(found[seen], expected[seen], atol=1e-4, rtol=0)
    columns = seen[0].nonzero().squeeze(1)
    assert seen.all(0)[columns].all() and len(columns) == columns[-1] - columns[0] + 1 > 5


def test_there_and_back_is_where_it_began():
    """A point that the other image sees returns to its place, from either side."""
    geometry = stereo_geometry(square())
    for source, target in ((0, 1), (1, 0)):
        xy = pixel_grid(H, W)[None]
        there = geometry.warp(source, target, xy)
        back = geometry.warp(target, source, there.xy)
        both = there.visible & back.visible
        assert both.float().mean() > 0.6
        torch.testing.assert_close(back.xy[both], xy[both])


def test_unknown_disparity_is_neither_seen_nor_hidden():
    """NaN, infinity and what is not positive give UNKNOWN, also where their neighbours are known."""
    disparity = square()
    disparity[5, 10], disparity[5, 12], disparity[5, 14] = torch.nan, torch.inf, 0.0
    geometry = stereo_geometry(disparity)
    xy = torch.tensor([[[10.5, 5.5], [12.5, 5.5], [14.5, 5.5], [16.5, 5.5]]])
    assert states(geometry.warp(0, 1, xy)) == ["UNKNOWN", "UNKNOWN", "UNKNOWN", "VISIBLE"]
    assert not geometry.valid(0)[0, 5, 10] and geometry.valid(0)[0, 5, 11]


@pytest.mark.parametrize("bad", [torch.zeros(3, 4, 5), torch.full((4, 5), torch.inf), torch.zeros(4, 5)])
def test_a_map_without_disparity_is_refused(bad):
    """One clear error, before anything is computed from it."""
    with pytest.raises(GeometryError, match="disparity map"):
        stereo_geometry(bad)
