import pytest
import torch

from traqpoint.geometry.pixels import pixel_grid
from traqpoint.geometry.sparse import SparseGeometry, nearest_observation
from traqpoint.types import PointState

pytestmark = pytest.mark.usefixtures("device")

K = torch.tensor([[100.0, 0, 20], [0, 100, 15], [0, 0, 1]])
HEIGHT, WIDTH = 30, 40


def geometry(xy, z, poses, observed):
    """One sequence of two frames; the first observes points at xy (P, 2) with depths z (P,)."""
    nearest = nearest_observation(xy, 2.0, HEIGHT, WIDTH)
    depth = torch.where(nearest >= 0, z[nearest.clamp(min=0)], torch.nan)
    blind = torch.full_like(nearest, -1)
    return SparseGeometry(
        torch.stack([nearest, blind])[None],
        torch.stack([depth, torch.full_like(depth, torch.nan)])[None],
        torch.tensor([[[True] * len(xy), observed]]),
        K.expand(1, 2, 3, 3),
        torch.stack(poses)[None],
    )


def moved(x=0.0, z=0.0):
    pose = torch.eye(4)
    pose[0, 3], pose[2, 3] = x, z
    return pose


@pytest.mark.parametrize("radius", [0.7, 2.5, 4.0])
def test_every_pixel_finds_the_nearest_observation_within_the_radius(radius):
    xy = torch.rand(60, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([44, 34.0]) - 2
    distance = torch.cdist(pixel_grid(HEIGHT, WIDTH, device=xy.device), xy)
    nearest = nearest_observation(xy, radius, HEIGHT, WIDTH).flatten()
    assert torch.equal(nearest >= 0, distance.amin(1) <= radius)
    found = nearest >= 0
    assert torch.allclose(distance[found, nearest[found]], distance.amin(1)[found], atol=1e-2)


def test_a_frame_without_observations_is_empty():
    assert bool((nearest_observation(torch.empty(0, 2), 2.0, HEIGHT, WIDTH) == -1).all())


def test_a_point_moves_by_its_parallax_and_is_visible_where_the_target_observes_it():
    xy = torch.tensor([[30.5, 10.5], [20.5, 20.5]])
    scene = geometry(xy, torch.tensor([20.0, 10.0]), [moved(), moved(x=-1)], [True, False])
    warped = scene.warp(0, 1, xy[None])
    # 100 px * 1 / 20 and 100 px * 1 / 10 to the left
    assert torch.allclose(warped.xy[0], torch.tensor([[25.5, 10.5], [10.5, 20.5]]), atol=1e-4)
    assert warped.state.tolist() == [[PointState.VISIBLE, PointState.UNKNOWN]]


def test_offsets_from_an_observation_scale_with_the_approach():
    xy = torch.tensor([[20.5, 15.5]])
    scene = geometry(xy, torch.tensor([8.0]), [moved(), moved(z=-4)], [True])
    near = torch.tensor([[[20.5, 15.5], [21.5, 15.5], [20.5, 16.9]]])
    out = scene.warp(0, 1, near).xy[0]
    assert torch.allclose(out - out[0], 2 * (near[0] - near[0, 0]), atol=1e-4)


def test_geometry_says_outside_and_behind_and_no_observation_is_unknown():
    xy = torch.tensor([[2.5, 10.5], [20.5, 10.5]])
    scene = geometry(xy, torch.tensor([10.0, 3.0]), [moved(), moved(x=-1, z=-5)], [True, True])
    points = torch.tensor([[[2.5, 10.5], [20.5, 10.5], [20.5, 25.5], [-1.0, 10.5], [torch.nan, 10.5]]])
    warped = scene.warp(0, 1, points)
    unknown = PointState.UNKNOWN
    assert warped.state.tolist() == [[PointState.OUTSIDE, PointState.BEHIND, unknown, unknown, unknown]]
    assert bool(torch.isnan(warped.xy[0, 1:]).all())


def test_valid_pixels_are_those_near_an_observation():
    scene = geometry(torch.tensor([[20.5, 10.5]]), torch.tensor([4.0]), [moved(), moved()], [True])
    place = torch.tensor([20.5, 10.5])
    near = (pixel_grid(HEIGHT, WIDTH, device=place.device) - place).norm(dim=-1) <= 2
    assert torch.equal(scene.valid(0).flatten(), near) and not bool(scene.valid(1).any())
