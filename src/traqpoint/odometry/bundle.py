"""Bundle adjustment of a part of a map, by pycolmap's Ceres: poses and points, never the camera."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.geometry.camera import Camera

_ITERATIONS = 20
"""Each keyframe is adjusted in as many bundles as the window is long: none of them has to converge."""
_CAUCHY_PX = 1.0
"""Where an error begins to count less: what is wrong must not bend the path before it is found out."""


def reconstruction_of(
    camera: Camera,
    names: Sequence[str],
    poses: Tensor,
    xyz: Tensor,
    view: Tensor,
    point: Tensor,
    xy: Tensor,
) -> Any:
    """A pycolmap.Reconstruction of V views; image i + 1 is view i, and point p + 1 is row p of xyz.

    poses: (V, 4, 4) cam_from_world. xyz: (P, 3). view, point: (M,), which view sees which point at xy (M, 2) pixels of
    the image as it is. A view sees a point once.
    """
    pycolmap = optional.load("pycolmap")
    model = pycolmap.Reconstruction()
    width, height = camera.image_size
    known = pycolmap.Camera(model=camera.model, width=width, height=height, params=camera.params.tolist(), camera_id=1)
    model.add_camera_with_trivial_rig(known)
    tracks = [pycolmap.Track() for _ in range(len(xyz))]
    for i, name in enumerate(names):
        own = view == i
        image = pycolmap.Image(name=name, keypoints=xy[own].double().numpy(), camera_id=1, image_id=i + 1)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(poses[i, :3].numpy()))
        for keypoint, row in enumerate(point[own].tolist()):
            tracks[row].add_element(i + 1, keypoint)
    for row, track in enumerate(tracks):
        model.add_point3D(xyz[row].numpy(), track)
    return model


def adjusted(
    camera: Camera, poses: Tensor, held: Tensor, xyz: Tensor, view: Tensor, point: Tensor, xy: Tensor
) -> tuple[Tensor, Tensor]:
    """poses (V, 4, 4) and xyz (P, 3) with the least robust sum of squared reprojection errors.

    held: (V,) bool, whose poses stay; with fewer than two of them the first view and the scale between the first two
    stay. The rest as in `reconstruction_of`.
    """
    pycolmap = optional.load("pycolmap")
    model = reconstruction_of(camera, [str(i) for i in range(len(poses))], poses, xyz, view, point, xy)
    config = pycolmap.BundleAdjustmentConfig()
    for i, stays in enumerate(held.tolist(), start=1):
        config.add_image(i)
        if stays:
            config.set_constant_rig_from_world_pose(i)
    config.set_constant_cam_intrinsics(1)
    if int(held.sum()) < 2:
        config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    pycolmap.create_default_bundle_adjuster(_options(pycolmap), config, model).solve()
    moved = np.stack([model.images[i + 1].cam_from_world().matrix() for i in range(len(poses))])
    out = poses.clone()
    out[:, :3] = torch.from_numpy(moved)
    points = np.stack([model.points3D[row + 1].xyz for row in range(len(xyz))])
    return out, torch.from_numpy(points)


def _options(pycolmap: Any) -> Any:
    options = pycolmap.BundleAdjustmentOptions(
        refine_focal_length=False, refine_extra_params=False, print_summary=False
    )
    solver = getattr(options, "ceres", options)  # pycolmap below 4.1 has no other solver
    solver.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    solver.loss_function_scale = _CAUCHY_PX
    solver.solver_options.max_num_iterations = _ITERATIONS
    solver.solver_options.num_threads = 1  # so that a run repeats exactly
    return options
