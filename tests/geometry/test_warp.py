import pytest
import torch

from traqpoint.geometry.homography import apply_homography
from traqpoint.geometry.transforms import rigid, rotation_from_quaternion, translation
from traqpoint.geometry.warp import DepthGeometry, HomographyGeometry, warp_depth, warp_homography
from traqpoint.types import PointState

pytestmark = pytest.mark.usefixtures("device")

K = torch.tensor([[[20.0, 0, 10], [0, 20, 10], [0, 0, 1]]])
FLAT = torch.full((1, 20, 20), 4.0)


def shift(x=0.0, y=0.0, z=0.0):
    return rigid(torch.eye(3), torch.tensor([x, y, z]))[None]


def warp(xy, target_from_source=None, source_depth=None, target_depth=None, **kwargs):
    pose = shift() if target_from_source is None else target_from_source
    source_depth, target_depth = (FLAT if depth is None else depth for depth in (source_depth, target_depth))
    out = warp_depth(torch.tensor([xy]), source_depth, K, K, pose, target_depth, **kwargs)
    return out.xy[0], [PointState(s) for s in out.state[0].tolist()]


def test_visible_by_hand():
    """One unit of translation at depth 4 with focal length 20 is 5 px."""
    xy, state = warp([[6.5, 9.5]], shift(x=1.0))
    assert state == [PointState.VISIBLE]
    torch.testing.assert_close(xy, torch.tensor([[11.5, 9.5]]))


def test_moving_ahead_by_hand():
    """From depth 4 to depth 2 the distance from the principal point doubles."""
    xy, state = warp([[8.0, 11.0]], shift(z=-2.0), target_depth=FLAT / 2)
    assert state == [PointState.VISIBLE]
    torch.testing.assert_close(xy, torch.tensor([[6.0, 12.0]]))


@pytest.mark.parametrize("seen", [1.0, 3.7, 4.3, 9.0])
def test_occluded_where_the_target_sees_another_surface_nearer_or_farther(seen):
    assert warp([[6.5, 9.5]], target_depth=FLAT * 0 + seen)[1] == [PointState.OCCLUDED]


def test_the_tolerance_is_relative_to_depth():
    for scale in (0.01, 1.0, 1000.0):
        for ratio, state in ((1.04, PointState.VISIBLE), (1.06, PointState.OCCLUDED)):
            assert warp([[6.5, 9.5]], None, FLAT * scale, FLAT * scale * ratio)[1] == [state]
    assert warp([[6.5, 9.5]], target_depth=FLAT * 1.04, tolerance=0.01)[1] == [PointState.OCCLUDED]


def test_outside_by_hand():
    xy, state = warp([[18.0, 9.5], [14.9, 9.5]], shift(x=1.0))
    assert state == [PointState.OUTSIDE, PointState.VISIBLE]
    torch.testing.assert_close(xy[0], torch.tensor([23.0, 9.5]))


def test_behind_has_no_pixel():
    xy, state = warp([[6.5, 9.5]], shift(z=-5.0))
    assert state == [PointState.BEHIND] and xy.isnan().all()


def test_unknown_where_depth_is_missing_at_either_end_and_only_there():
    hole = FLAT.clone()
    hole[0, 9, 6] = torch.nan
    assert warp([[6.5, 9.5], [9.5, 9.5]], source_depth=hole)[1] == [PointState.UNKNOWN, PointState.VISIBLE]
    assert warp([[6.5, 9.5], [9.5, 9.5]], target_depth=hole)[1] == [PointState.UNKNOWN, PointState.VISIBLE]
    assert warp([[-3.0, 9.5], [torch.nan, 2.0]])[1] == [PointState.UNKNOWN] * 2


def test_a_pose_of_nan_makes_no_point_visible():
    _, state = warp([[6.5, 9.5]], shift() * torch.nan)
    assert state != [PointState.VISIBLE]


def plane_geometry():
    """Two views of the plane Z = 4 with a rotation between them, depth exact in both."""
    pose = rigid(rotation_from_quaternion(torch.tensor([1.0, 0.03, -0.06, 0.02])), torch.tensor([0.5, -0.2, 0.3]))
    poses = torch.stack([torch.eye(4), pose])[None]
    y, x = torch.meshgrid(torch.arange(20) + 0.5, torch.arange(20) + 0.5, indexing="ij")
    rays = torch.stack([x, y, torch.ones_like(x)], dim=-1) @ torch.linalg.inv(K[0]).T
    depth = []
    for p in poses[0]:
        world_rays, eye = rays @ p[:3, :3], -p[:3, :3].T @ p[:3, 3]
        depth.append((4 - eye[2]) / world_rays[..., 2])
    return DepthGeometry(torch.stack(depth)[None], K[:, None].expand(1, 2, 3, 3), poses)


def test_there_and_back_is_where_it_began():
    geometry = plane_geometry()
    xy = torch.rand(1, 50, 2, generator=torch.Generator().manual_seed(0)) * 12 + 4
    there = geometry.warp(0, 1, xy)
    assert there.visible.float().mean() > 0.8
    back = geometry.warp(1, 0, there.xy)
    both = there.visible & back.visible
    torch.testing.assert_close(back.xy[both], xy[both], rtol=0, atol=2e-3)


def test_depth_of_a_plane_and_its_homography_give_the_same_answer():
    geometry = plane_geometry()
    pose = geometry.cam_from_world[0, 1]
    # x' ~ K (R + t nᵀ / d) K⁻¹ x with n = (0, 0, 1), d = 4.
    n = torch.tensor([[0.0, 0, 0.25]])
    H = K[0] @ (pose[:3, :3] + pose[:3, 3:] @ n) @ torch.linalg.inv(K[0])
    xy = torch.rand(1, 50, 2, generator=torch.Generator().manual_seed(0)) * 12 + 4
    plane = HomographyGeometry(torch.stack([torch.eye(3), H])[None], torch.ones(1, 2, 20, 20, dtype=torch.bool))
    a, b = geometry.warp(0, 1, xy), plane.warp(0, 1, xy)
    torch.testing.assert_close(a.xy, b.xy, rtol=0, atol=2e-3)
    assert torch.equal(a.state, b.state)


def test_valid_is_where_depth_is_known():
    depth = FLAT.clone()[None]
    depth[0, 0, 3, 4] = torch.nan
    valid = DepthGeometry(depth, K[:, None], shift()[None]).valid(0)
    assert valid.sum() == 399 and not valid[0, 3, 4]


def test_homography_states_by_hand(device):
    mask = torch.ones(1, 20, 20, dtype=torch.bool)
    mask[0, :, 15:] = False
    xy = torch.tensor([[[5.0, 5.0], [13.0, 5.0], [19.0, 5.0]]])
    out = warp_homography(xy, translation(4.0, 1.0).to(device)[None], mask)
    assert out.xy[0].tolist() == [[9, 6], [17, 6], [23, 6]]
    assert out.state[0].tolist() == [PointState.VISIBLE, PointState.OUTSIDE, PointState.OUTSIDE]
    horizon = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [-0.1, 0, 1]]])
    out = warp_homography(xy, horizon, mask)
    assert out.state[0, 1] == PointState.BEHIND and out.xy[0, 1].isnan().all()


def test_homography_geometry_composes_through_the_plane_and_padding_is_unknown(device):
    frames = torch.stack([translation(2.0, 0.0), translation(5.0, -1.0)])[None].to(device)
    mask = torch.ones(1, 2, 20, 20, dtype=torch.bool)
    mask[0, 0, :, :2] = False
    xy = torch.tensor([[[6.5, 9.5], [1.5, 9.5]]])
    geometry = HomographyGeometry(frames, mask)
    out = geometry.warp(0, 1, xy)
    assert out.state[0].tolist() == [PointState.VISIBLE, PointState.UNKNOWN]
    torch.testing.assert_close(out.xy[0, 0], torch.tensor([9.5, 8.5]))
    torch.testing.assert_close(out.xy, apply_homography(translation(3.0, -1.0).to(device), xy))
    assert torch.equal(geometry.valid(0), mask[:, 0])
    assert torch.equal(geometry.to("cpu").warp(0, 1, xy.cpu()).xy, out.xy.cpu())
