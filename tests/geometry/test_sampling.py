import pytest
import torch
import torch.nn.functional as F

from traqpoint.geometry.depth import sample_depth
from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.sampling import sample, sample_descriptors, warp_image

pytestmark = pytest.mark.usefixtures("device")


def ramp(height, width, image_size=None):
    """A map whose value is the pixel coordinate: channels x, y."""
    w, h = image_size or (width, height)
    scale = torch.tensor([w / width, h / height])
    xy = pixel_grid(height, width, device=scale.device) * scale
    return xy.T.reshape(1, 2, height, width)


def interior(n=100, width=40, height=30, margin=4):
    xy = torch.rand(1, n, 2, generator=torch.Generator().manual_seed(0))
    return margin + xy * torch.tensor([width - 2 * margin, height - 2 * margin])


def test_a_linear_ramp_is_read_exactly_at_any_position():
    torch.testing.assert_close(sample(ramp(30, 40), interior(), (40, 30)), interior(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_a_coarser_map_covers_the_same_image(stride):
    coarse = ramp(48 // stride, 64 // stride, (64, 48))
    xy = interior(width=64, height=48, margin=stride)
    torch.testing.assert_close(sample(coarse, xy, (64, 48)), xy, rtol=0, atol=1e-4)


def test_nearest_reads_the_pixel_that_contains_the_position():
    index = torch.arange(12.0).reshape(1, 1, 3, 4)
    xy = torch.tensor([[[0.01, 0.01], [0.99, 0.99], [1.01, 0.5], [3.9, 2.9]]])
    assert sample(index, xy, (4, 3), mode="nearest").flatten().tolist() == [0, 0, 1, 11]


def test_outside_takes_the_border_and_nan_stays_nan():
    xy = torch.tensor([[[-5.0, 0.5], [100.0, 0.5], [torch.nan, 1.0]]])
    got = sample(ramp(3, 4), xy, (4, 3))[0, :, 0]
    assert got[:2].tolist() == [0.5, 3.5] and got[2].isnan()


def test_warping_by_the_pixel_grid_changes_nothing_and_by_a_shift_shifts():
    image = torch.rand(1, 3, 6, 8)
    grid = pixel_grid(6, 8, device=image.device).reshape(1, 6, 8, 2)
    torch.testing.assert_close(warp_image(image, grid), image, rtol=0, atol=1e-6)
    shifted = warp_image(image, grid + torch.tensor([2.0, 0.0]))
    torch.testing.assert_close(shifted[..., :6], image[..., 2:], rtol=0, atol=1e-5)


def test_descriptors_have_unit_norm_and_the_cell_s_direction_at_its_centre():
    map = torch.randn(1, 16, 6, 8)
    got = sample_descriptors(map, pixel_grid(48, 64, 8, map.device)[None], (64, 48))
    torch.testing.assert_close(got, F.normalize(map.flatten(2).transpose(1, 2), dim=-1), rtol=0, atol=1e-5)


def plane_depth(height=30, width=40):
    """Depth of a slanted plane, its inverse is affine in the pixel."""
    x, y = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    return 1 / inverse_depth(torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1))[None]


def inverse_depth(xy):
    return 0.2 + 0.003 * xy[..., 0] + 0.002 * xy[..., 1]


def test_depth_between_the_pixels_of_a_plane_is_exact():
    got = sample_depth(plane_depth(), interior(margin=1))
    torch.testing.assert_close(got, 1 / inverse_depth(interior(margin=1)), rtol=1e-6, atol=0)


def test_depth_never_blends_across_an_edge():
    depth = torch.full((1, 10, 10), 2.0)
    depth[..., 5:] = 3.0
    xy = torch.rand(1, 500, 2, generator=torch.Generator().manual_seed(0)) * 10
    got = sample_depth(depth, xy)
    torch.testing.assert_close(got, torch.where(xy[..., 0] < 5, 2.0, 3.0), rtol=1e-6, atol=0)


@pytest.mark.parametrize("hole", [torch.nan, 0.0, -1.0])
def test_a_hole_is_unknown_within_its_pixel_and_spoils_no_other(hole):
    depth = plane_depth()
    depth[0, 12, 20] = hole
    xy = torch.tensor([[[20.5, 12.5], [20.05, 12.9], [21.3, 12.5], [19.9, 11.9], [30.0, 20.0]]])
    got = sample_depth(depth, xy)[0]
    assert got.isnan().tolist() == [True, True, False, False, False]
    assert got[2] == depth[0, 12, 21] and got[3] == depth[0, 11, 19]


def test_depth_outside_the_image_is_unknown():
    xy = torch.tensor([[[-0.1, 5.0], [40.0, 5.0], [5.0, 30.0], [torch.nan, 5.0], [39.9, 29.9], [0.0, 0.0]]])
    assert sample_depth(plane_depth(), xy)[0].isnan().tolist() == [True, True, True, True, False, False]
