"""Points from two views, and a view from points, in pixels without distortion."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.geometry.transforms import homogeneous, rigid


def triangulated(a: Tensor, b: Tensor, K: Tensor, a_from_world: Tensor, b_from_world: Tensor) -> Tensor:
    """Points (N, 3) float64 of the world at the pixels a, b (N, 2); not finite where the rays are parallel."""
    projections = [(K.double() @ pose[:3]).numpy() for pose in (a_from_world, b_from_world)]
    points = optional.load("cv2").triangulatePoints(*projections, a.T.double().numpy(), b.T.double().numpy())
    with np.errstate(divide="ignore", invalid="ignore"):
        return torch.from_numpy((points[:3] / points[3]).T)


def in_camera(points: Tensor, cam_from_world: Tensor) -> Tensor:
    """(N, 3) in the world -> (N, 3) in the camera."""
    return homogeneous(points) @ cam_from_world[:3].T


def reprojection_errors(points: Tensor, xy: Tensor, K: Tensor, cam_from_world: Tensor) -> Tensor:
    """(N,) pixels between points (N, 3) and where they are seen, xy (N, 2); inf at or behind the camera."""
    seen = in_camera(points, cam_from_world)
    pixels = (seen[:, :2] / seen[:, 2:]) @ K[:2, :2].double().T + K[:2, 2].double()
    errors = (pixels - xy.double()).norm(dim=-1)
    return torch.where(torch.isfinite(errors) & (seen[:, 2] > 0), errors, torch.inf)


def parallax_deg(points: Tensor, centre_a: Tensor, centre_b: Tensor) -> Tensor:
    """(N,) degrees between the rays to points (N, 3) from two camera centres (3,)."""
    a, b = points - centre_a, points - centre_b
    return torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1)).rad2deg()


def pose_from_points(xyz: Tensor, xy: Tensor, K: Tensor, max_error_px: float) -> tuple[Tensor, Tensor] | None:
    """cam_from_world (4, 4) and inliers (N,) bool of points (N, 3) seen at xy (N, 2), with outliers; None if there is
    no pose.

    OpenCV's P3P in RANSAC, then Levenberg-Marquardt on the inliers.
    """
    if len(xyz) < 4:
        return None
    cv2 = optional.load("cv2")
    given = (xyz.double().numpy(), xy.double().numpy(), K.double().numpy())
    try:
        found, r, t, inliers = cv2.solvePnPRansac(
            *given,
            None,
            iterationsCount=1000,
            reprojectionError=max_error_px,
            confidence=0.99999,
            flags=cv2.SOLVEPNP_P3P,
        )
        if not found or inliers is None or len(inliers) < 4:
            return None
        chosen = inliers.ravel()
        r, t = cv2.solvePnPRefineLM(given[0][chosen], given[1][chosen], given[2], None, r, t)
    except cv2.error:  # raised inside of the solver for some degenerate sets
        return None
    pose = rigid(torch.from_numpy(cv2.Rodrigues(r)[0]), torch.from_numpy(t.ravel()))
    if not bool(torch.isfinite(pose).all()):
        return None
    return pose, reprojection_errors(xyz, xy, K, pose) <= max_error_px
