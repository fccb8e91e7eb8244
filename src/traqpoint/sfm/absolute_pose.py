"""Where an image was taken, from matches of its keypoints with the points of a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.transforms import rigid
from traqpoint.io.colmap_model import NO_POINT, ColmapModel
from traqpoint.types import Features, Matches


def correspondences(
    query: Features, candidates: Sequence[tuple[Matches, Tensor]], points: ColmapModel
) -> tuple[Tensor, Tensor]:
    """Pixels (M, 2) and 3D points (M, 3), float64, of a query; each keypoint meets each point at most once.

    candidates: matches (query's keypoint, database image's keypoint), and the points (N,) that the latter observe.
    """
    found = [torch.empty(0, 2, dtype=torch.int64)]
    for matches, observed in candidates:
        keypoint, other = matches.indices.cpu().unbind(-1)
        point = observed[other]
        seen = point != NO_POINT
        found.append(torch.stack([keypoint[seen], point[seen]], dim=-1))
    keypoint, point = torch.cat(found).unique(dim=0).unbind(-1)
    return query.keypoints[keypoint].double(), points.xyz[points.rows(point)]


def absolute_pose(
    xy: Tensor, xyz: Tensor, camera: Camera, max_error_px: float, seed: int = 0
) -> tuple[Tensor, int] | None:
    """cam_from_world (4, 4) float64 and its number of inliers, by PoseLib; None if there is none.

    xy (M, 2) pixels, xyz (M, 3) points, with outliers. P3P in LO-RANSAC and a robust refinement.
    """
    if len(xy) < 4:  # three points allow up to four poses
        return None
    width, height = camera.image_size
    description = {"model": camera.model, "width": width, "height": height, "params": camera.params.tolist()}
    options = {"max_reproj_error": max_error_px, "seed": seed}
    pose, info = optional.load("poselib").estimate_absolute_pose(xy.numpy(), xyz.numpy(), description, options, {})
    found = rigid(torch.from_numpy(np.array(pose.R)), torch.from_numpy(np.array(pose.t)))
    if info["num_inliers"] < 4 or not bool(torch.isfinite(found).all()):
        return None
    return found, int(info["num_inliers"])
