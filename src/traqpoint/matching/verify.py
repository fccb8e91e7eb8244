"""Robust two-view estimation. The estimator is a parameter: it moves AUC@5 by more than most methods differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.geometry.transforms import homogeneous
from traqpoint.matching.config import RobustConfig, Usual

POSE_USUAL: Usual = {"opencv-ransac": (0.5, 1000), "opencv-magsac": (1.0, 10_000), "poselib": (2.0, 100_000)}
"""Threshold in pixels and iterations at most: LoFTR's and TraqPoint's, ours, and glue-factory's."""
HOMOGRAPHY_USUAL: Usual = {"opencv-ransac": (3.0, 2000), "opencv-magsac": (3.0, 10_000), "poselib": (3.0, 100_000)}
"""The same for homographies: LoFTR's threshold for all, OpenCV's iterations, ours, PoseLib's."""


@dataclass(frozen=True)
class Estimate:
    """b_from_a: float64, a (4, 4) pose with a translation of unit length, or a (3, 3) homography; None if estimation
    failed. inliers: (N,) bool, none of them after a failure."""

    b_from_a: Tensor | None
    inliers: Tensor


def estimate_relative_pose(
    a: Tensor, b: Tensor, K_a: Tensor, K_b: Tensor, config: RobustConfig | None = None, seed: int = 0
) -> Estimate:
    """Relative pose from matched pixels a, b (N, 2) of pinhole cameras K_a, K_b (3, 3), in one pixel convention.

    The threshold is one in pixels of a camera with the mean of the four focal lengths, as in SuperGlue's protocol.
    Fewer than five matches, or no model with inliers in front of both cameras, are a failure. seed: of PoseLib;
    OpenCV's samplers start from a constant, so only the order of the matches varies them.
    """
    config = (config or RobustConfig()).resolved(POSE_USUAL)
    if len(a) < 5:
        return _failure(a)
    K_a, K_b = K_a.double(), K_b.double()
    focal = float(torch.stack([K_a.diagonal()[:2], K_b.diagonal()[:2]]).mean())
    common_a, common_b = (_in_common_camera(xy, K, focal) for xy, K in ((a, K_a), (b, K_b)))
    solve = _pose_by_poselib if config.estimator == "poselib" else _pose_by_opencv
    found = solve(common_a, common_b, focal, config, seed)
    if found is None or not np.isfinite(found[0]).all():
        return _failure(a)
    return Estimate(torch.from_numpy(found[0]), torch.from_numpy(found[1]))


def estimate_homography(a: Tensor, b: Tensor, config: RobustConfig | None = None, seed: int = 0) -> Estimate:
    """Homography from matched pixels a, b (N, 2), in the pixel convention that they have.

    Fewer than four matches, or a degenerate set, are a failure. seed: of PoseLib.
    """
    config = (config or RobustConfig()).resolved(HOMOGRAPHY_USUAL)
    if len(a) < 4:
        return _failure(a)
    source, target = a.double().contiguous().numpy(), b.double().contiguous().numpy()
    solve = _homography_by_poselib if config.estimator == "poselib" else _homography_by_opencv
    found = solve(source, target, config, seed)
    if found is None or found[1].sum() < 4 or not np.isfinite(found[0]).all():
        return _failure(a)
    return Estimate(torch.from_numpy(found[0]), torch.from_numpy(found[1]))


Found = tuple[np.ndarray, np.ndarray]


def _failure(a: Tensor) -> Estimate:
    return Estimate(None, torch.zeros(len(a), dtype=torch.bool))


def _in_common_camera(xy: Tensor, K: Tensor, focal: float) -> np.ndarray:
    """Pixels (N, 2) of the camera with this focal length and its principal point at 0."""
    return (focal * (homogeneous(xy.double()) @ torch.linalg.inv(K).T)[:, :2]).contiguous().numpy()


def _pose(R: np.ndarray, t: np.ndarray) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = R, t / max(float(np.linalg.norm(t)), 1e-300)
    return pose


def _pose_by_opencv(a: np.ndarray, b: np.ndarray, focal: float, config: RobustConfig, seed: int) -> Found | None:
    cv2 = optional.load("cv2")
    K = np.diag([focal, focal, 1.0])
    best, most = None, 0
    try:
        E, mask = cv2.findEssentialMat(
            a,
            b,
            K,
            method=_opencv_method(cv2, config),
            prob=config.confidence,
            threshold=config.threshold_px,
            maxIters=config.max_iterations,
        )
        # Five matches have up to ten solutions, stacked. The mask is copied, because recoverPose writes into it.
        for solution in [] if E is None else E.reshape(-1, 3, 3):
            count, R, t, in_front, *_ = cv2.recoverPose(solution, a, b, K, distanceThresh=1e9, mask=mask.copy())
            if count > most:
                best, most = (_pose(R, t[:, 0]), in_front.ravel() > 0), count
    except cv2.error:  # raised inside of the solver for some degenerate sets
        return None
    return best


def _pose_by_poselib(a: np.ndarray, b: np.ndarray, focal: float, config: RobustConfig, seed: int) -> Found | None:
    camera = {"model": "SIMPLE_PINHOLE", "width": 1, "height": 1, "params": [focal, 0.0, 0.0]}
    options = {"max_epipolar_error": config.threshold_px, **_poselib_options(config, seed)}
    pose, info = optional.load("poselib").estimate_relative_pose(a, b, camera, camera, options)
    return (_pose(pose.R, pose.t), np.array(info["inliers"], dtype=bool)) if info["num_inliers"] >= 5 else None


def _homography_by_opencv(a: np.ndarray, b: np.ndarray, config: RobustConfig, seed: int) -> Found | None:
    cv2 = optional.load("cv2")
    method = _opencv_method(cv2, config)
    limits = {"maxIters": config.max_iterations, "confidence": config.confidence}
    try:
        H, mask = cv2.findHomography(a, b, method, config.threshold_px, **limits)
    except cv2.error:  # raised inside of the solver for some degenerate sets
        return None
    return None if H is None else (H, mask.ravel() > 0)


def _homography_by_poselib(a: np.ndarray, b: np.ndarray, config: RobustConfig, seed: int) -> Found | None:
    options = {"max_reproj_error": config.threshold_px, **_poselib_options(config, seed)}
    H, info = optional.load("poselib").estimate_homography(a, b, options)
    return H, np.array(info["inliers"], dtype=bool)


def _opencv_method(cv2: Any, config: RobustConfig) -> int:
    return cv2.RANSAC if config.estimator == "opencv-ransac" else cv2.USAC_MAGSAC


def _poselib_options(config: RobustConfig, seed: int) -> dict[str, Any]:
    return {"max_iterations": config.max_iterations, "success_prob": config.confidence, "seed": seed}
