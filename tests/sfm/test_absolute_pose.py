"""Poses of images in an exact model."""

import pytest
import torch

pytest.importorskip("pycolmap")
pytest.importorskip("poselib")

from traqpoint.io.colmap_model import NO_POINT
from traqpoint.sfm.absolute_pose import absolute_pose, correspondences


def test_the_pose_survives_outliers_and_none_is_made_of_nothing(exact_scene):
    view = next(iter(exact_scene.truth.images.values()))
    seen = view.point3D != NO_POINT
    xy, xyz = view.xy[seen].clone(), exact_scene.truth.xyz[exact_scene.truth.rows(view.point3D[seen])]
    xy[::2] = torch.rand(len(xy[::2]), 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 700
    pose, inliers = absolute_pose(xy, xyz, view.camera, 4.0)
    torch.testing.assert_close(pose, view.cam_from_world, atol=1e-6, rtol=0)
    assert len(xy) // 2 <= inliers < len(xy) // 2 + 10
    assert absolute_pose(xy[:3], xyz[:3], view.camera, 4.0) is None
    same = torch.zeros_like(xyz)
    assert absolute_pose(xy, same, view.camera, 1e-6) is None


def test_a_keypoint_meets_a_point_once_however_many_images_say_so(exact_scene):
    a, b, c = list(exact_scene.truth.images.values())[:3]
    p = exact_scene.predictions
    candidates = [(p.pair(a.name, other.name)[2], other.point3D) for other in (b, c)]
    xy, xyz = correspondences(p.features.read(a.name), candidates, exact_scene.truth)
    assert len(xy) == 150 and xy.dtype == xyz.dtype == torch.float64
    x_cam = xyz @ a.cam_from_world[:3, :3].T + a.cam_from_world[:3, 3]
    torch.testing.assert_close(a.camera.project(x_cam), xy, atol=1e-3, rtol=0)
    assert correspondences(p.features.read(a.name), [], exact_scene.truth)[0].shape == (0, 2)
