"""The pose of a query among the points of a model, how sure it is, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from traqpoint.geometry.epipolar import skew
from traqpoint.geometry.transforms import rigid
from traqpoint.io.colmap_model import ColmapModel
from traqpoint.sfm.absolute_pose import correspondences
from traqpoint.sfm.config import LocalizeConfig
from traqpoint.sfm.diagnosis import FEW_KEYPOINTS
from traqpoint.sfm.query_camera import Guess
from traqpoint.sfm.verification import quiet
from traqpoint.types import Features, Matches

BETTER = 1.2
"""A camera that is trusted less has to agree with so many times as many matches: one unknown more fits more of them."""


@dataclass(frozen=True)
class Located:
    """Where a query was taken.

    cam_from_world: (4, 4) float64. guess: its camera, with the focal length that came out. correspondences: pairs of a
    keypoint and a point, of which so many `inliers` agree, with a median error of error_px. covariance: (6, 6) of a
    turn r in radians, exp([r]) R, and of the translation, for keypoints that are off by a pixel.
    """

    cam_from_world: Tensor
    guess: Guess
    correspondences: int
    inliers: int
    error_px: float
    covariance: Tensor

    @property
    def rotation_sigma_deg(self) -> float:
        """Standard deviation of the direction, over all axes."""
        return math.degrees(math.sqrt(float(self.covariance[:3, :3].trace())))

    @property
    def position_sigma(self) -> float:
        """Standard deviation of the camera's centre -Rᵀt, over all axes, in the model's unit."""
        R, t = self.cam_from_world[:3, :3], self.cam_from_world[:3, 3]
        # (exp([r]) R)ᵀ (t + s) = Rᵀ (t + s - r × t) to first order, and -r × t = t × r.
        J = -R.T @ torch.cat([skew(t), torch.eye(3, dtype=R.dtype)], dim=1)
        return math.sqrt(float((J @ self.covariance @ J.T).trace()))


@dataclass(frozen=True)
class Localization:
    """located: query -> its pose. failed: query -> why it has none. nearest: query -> the image of the map whose points
    it has most matches with. notes: what was told on the way."""

    located: Mapping[str, Located]
    failed: Mapping[str, str]
    nearest: Mapping[str, str]
    notes: tuple[str, ...] = ()


def locate(
    query: Features,
    candidates: Sequence[tuple[Matches, Tensor]],
    points: ColmapModel,
    guesses: Sequence[Guess],
    config: LocalizeConfig,
) -> Located | str:
    """The pose of a query, or why there is none. candidates: as `absolute_pose.correspondences` has them."""
    if len(query) < FEW_KEYPOINTS:
        return f"only {len(query)} keypoints: flat, dark or blurred"
    xy, xyz = correspondences(query, candidates, points)
    if len(xy) < config.min_inliers:
        return f"only {len(xy)} matches with points of the map, of which {config.min_inliers} would have to agree"
    best: Located | None = None
    for guess in guesses:
        found = _pose(xy, xyz, guess, config)
        if found is not None and (best is None or found.inliers > BETTER * best.inliers):
            best = found
    if best is None or best.inliers < config.min_inliers:
        agreeing = 0 if best is None else best.inliers
        return f"another place, or too different a view: {agreeing} of {len(xy)} matches agree on a pose at most"
    return best


def _pose(xy: Tensor, xyz: Tensor, guess: Guess, config: LocalizeConfig) -> Located | None:
    """COLMAP's P3P (or P4P with a focal length) in LO-RANSAC, and its refinement, which ends at the covariance."""
    with quiet() as pycolmap:
        width, height = guess.camera.image_size
        camera = pycolmap.Camera(
            model=guess.camera.model, width=width, height=height, params=guess.camera.params.tolist()
        )
        search, refinement = pycolmap.AbsolutePoseEstimationOptions(), pycolmap.AbsolutePoseRefinementOptions()
        search.ransac.max_error, search.ransac.random_seed = config.max_error_px, config.seed
        search.estimate_focal_length = guess.focal == "estimated"
        refinement.refine_focal_length = guess.focal != "known"
        found = pycolmap.estimate_and_refine_absolute_pose(xy.numpy(), xyz.numpy(), camera, search, refinement, True)
    if found is None:
        return None
    pose = torch.from_numpy(found["cam_from_world"].matrix().copy())
    pose = rigid(pose[:, :3], pose[:, 3])
    scale = torch.tensor([2.0] * 3 + [1.0] * 3, dtype=torch.float64)  # Ceres' quaternions turn by twice their tangent
    covariance = torch.from_numpy(found["covariance"].copy()) * scale * scale[:, None]
    params = torch.tensor(camera.params, dtype=torch.float64)
    if not all(bool(torch.isfinite(x).all()) for x in (pose, covariance, params)) or float(params[0]) <= 0:
        return None
    used = replace(guess.camera, params=params)
    inside = torch.from_numpy(found["inlier_mask"])
    seen = xyz[inside] @ pose[:3, :3].T + pose[:3, 3]
    errors = (used.project(seen) - xy[inside]).norm(dim=-1)
    # The refinement may have moved some over the threshold.
    count = int((errors <= config.max_error_px).sum())
    return Located(pose, replace(guess, camera=used), len(xy), count, float(errors.nanmedian()), covariance)
