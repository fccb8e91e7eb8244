"""Which matches agree with one motion, or one plane. The estimator is a parameter: it moves AUC@5 by more than most
methods differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.errors import ConfigError, FormatError, GeometryError
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.epipolar import essential_from_pose
from traqpoint.geometry.transforms import homogeneous
from traqpoint.matching.config import RobustConfig, Usual
from traqpoint.types import Features, Matches

POSE_USUAL: Usual = {"opencv-ransac": (0.5, 1000), "opencv-magsac": (1.0, 10_000), "poselib": (2.0, 100_000)}
"""Threshold in pixels and iterations at most: LoFTR's and TraqPoint's, ours, and glue-factory's."""
HOMOGRAPHY_USUAL: Usual = {"opencv-ransac": (3.0, 2000), "opencv-magsac": (3.0, 10_000), "poselib": (3.0, 100_000)}
"""The same for homographies: LoFTR's threshold for all, OpenCV's iterations, ours, PoseLib's."""
FUNDAMENTAL_USUAL: Usual = {"opencv-ransac": (3.0, 1000), "opencv-magsac": (1.0, 10_000), "poselib": (1.0, 100_000)}
"""The same for fundamental matrices: OpenCV's, ours, PoseLib's."""

TwoViewModel = Literal["essential", "fundamental", "homography"]


@dataclass(frozen=True)
class Verified:
    """What `verify` found.

    matches: those of the given ones that agree. inliers: (K,) bool over the given ones. matrix: (3, 3) float64, None if
    nothing was found: E or F with ``x_bᵀ M x_a = 0`` for rays or pixels, or H with ``x_b ~ H x_a`` for pixels.
    b_from_a: (4, 4) float64 pose with a translation of unit length, of an essential matrix.
    """

    matches: Matches
    inliers: Tensor
    matrix: Tensor | None
    b_from_a: Tensor | None = None


def verify(
    matches: Matches,
    features_a: Features,
    features_b: Features,
    model: TwoViewModel | None = None,
    *,
    cameras: tuple[Camera | Tensor, Camera | Tensor] | None = None,
    config: RobustConfig | None = None,
    seed: int = 0,
) -> Verified:
    """The matches that agree with one model of the two views, and that model.

    model: "essential" (a motion of calibrated cameras; the default with cameras), "fundamental" (a motion; the default
    without), "homography" (a plane, or a camera that only turns). cameras: of both images, each a Camera, whose
    distortion is taken out, or a calibration matrix (3, 3) for COLMAP's pixels. config: estimator, threshold.
    Too few matches, or none that agree, are a result without matches. seed: of PoseLib, as in `estimate_relative_pose`.
    Raises ConfigError if model and cameras do not go together, FormatError if the matches name keypoints that do not
    exist, GeometryError for a camera of another image.
    """
    model = model or ("fundamental" if cameras is None else "essential")
    if model not in get_args(TwoViewModel):
        raise ConfigError(f"model {model!r} is not one of {', '.join(get_args(TwoViewModel))}")
    if (model == "essential") != (cameras is not None):
        raise ConfigError(
            "an essential matrix needs cameras=(camera_a, camera_b); the other models have no use for any"
        )
    a, b = (_matched(features, matches, side) for side, features in enumerate((features_a, features_b)))
    if cameras is None:
        estimate = estimate_homography if model == "homography" else estimate_fundamental
        found = estimate(a, b, config, seed)
        matrix, pose = found.b_from_a, None
    else:
        (a, K_a), (b, K_b) = (
            _undistorted(xy, camera, features.image_size)
            for xy, camera, features in zip((a, b), cameras, (features_a, features_b), strict=True)
        )
        found = estimate_relative_pose(a, b, K_a, K_b, config, seed)
        matrix, pose = None if found.b_from_a is None else essential_from_pose(found.b_from_a), found.b_from_a
    inliers = found.inliers.to(matches.indices.device)
    return Verified(Matches(matches.indices[inliers], matches.scores[inliers]), inliers, matrix, pose)


def _matched(features: Features, matches: Matches, side: int) -> Tensor:
    """(K, 2) float64 pixels on the CPU."""
    index = matches.indices[:, side].cpu()
    if len(index) and not 0 <= int(index.min()) <= int(index.max()) < len(features):
        raise FormatError(f"the matches name keypoints that image {'ab'[side]} does not have: it has {len(features)}")
    return features.keypoints.detach().cpu().double()[index]


def _undistorted(xy: Tensor, camera: Camera | Tensor, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Pixels of the pinhole camera with the same K, and that K (3, 3)."""
    if not isinstance(camera, Camera):
        K = torch.as_tensor(camera, dtype=torch.float64).cpu()
        if K.shape != (3, 3):
            raise GeometryError(f"a calibration matrix must be (3, 3), got {tuple(K.shape)}")
        return xy, K
    if camera.image_size != image_size:
        raise GeometryError(f"the camera is of {camera.image_size} pixels and the features of {image_size}")
    camera = Camera(camera.model, camera.image_size, camera.params.cpu().double())
    return (camera.unproject(xy) @ camera.K.T)[:, :2], camera.K


@dataclass(frozen=True)
class Estimate:
    """b_from_a: float64, a (4, 4) pose with a translation of unit length, or a (3, 3) homography or fundamental matrix;
    None if estimation failed. inliers: (N,) bool, none of them after a failure."""

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
    return _estimate(a, b, (config or RobustConfig()).resolved(HOMOGRAPHY_USUAL), seed, "homography", least=4)


def estimate_fundamental(a: Tensor, b: Tensor, config: RobustConfig | None = None, seed: int = 0) -> Estimate:
    """Fundamental matrix from matched pixels a, b (N, 2), in the pixel convention that they have.

    Fewer than eight matches, or a degenerate set, are a failure: through seven there are up to three matrices.
    seed: of PoseLib.
    """
    return _estimate(a, b, (config or RobustConfig()).resolved(FUNDAMENTAL_USUAL), seed, "fundamental", least=8)


Found = tuple[np.ndarray, np.ndarray]


def _estimate(a: Tensor, b: Tensor, config: RobustConfig, seed: int, model: TwoViewModel, least: int) -> Estimate:
    if len(a) < least:
        return _failure(a)
    source, target = a.double().contiguous().cpu().numpy(), b.double().contiguous().cpu().numpy()
    solve = _matrix_by_poselib if config.estimator == "poselib" else _matrix_by_opencv
    found = solve(source, target, config, seed, model)
    if found is None or found[1].sum() < least or not np.isfinite(found[0]).all():
        return _failure(a)
    return Estimate(torch.from_numpy(found[0]), torch.from_numpy(found[1]))


def _failure(a: Tensor) -> Estimate:
    return Estimate(None, torch.zeros(len(a), dtype=torch.bool))


def _in_common_camera(xy: Tensor, K: Tensor, focal: float) -> np.ndarray:
    """Pixels (N, 2) of the camera with this focal length and its principal point at 0."""
    return (focal * (homogeneous(xy.double()) @ torch.linalg.inv(K).T)[:, :2]).contiguous().cpu().numpy()


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


def _matrix_by_opencv(
    a: np.ndarray, b: np.ndarray, config: RobustConfig, seed: int, model: TwoViewModel
) -> Found | None:
    cv2 = optional.load("cv2")
    method = _opencv_method(cv2, config)
    try:
        if model == "homography":
            limits = {"maxIters": config.max_iterations, "confidence": config.confidence}
            matrix, mask = cv2.findHomography(a, b, method, config.threshold_px, **limits)
        else:
            limit, confidence = config.max_iterations, config.confidence
            matrix, mask = cv2.findFundamentalMat(a, b, method, config.threshold_px, confidence, limit)
    except cv2.error:  # raised inside of the solver for some degenerate sets
        return None
    return None if matrix is None or matrix.shape != (3, 3) else (matrix, mask.ravel() > 0)


def _matrix_by_poselib(
    a: np.ndarray, b: np.ndarray, config: RobustConfig, seed: int, model: TwoViewModel
) -> Found | None:
    threshold = {"homography": "max_reproj_error"}.get(model, "max_epipolar_error")
    options = {threshold: config.threshold_px, **_poselib_options(config, seed)}
    matrix, info = getattr(optional.load("poselib"), f"estimate_{model}")(a, b, options)
    return matrix, np.array(info["inliers"], dtype=bool)


def _opencv_method(cv2: Any, config: RobustConfig) -> int:
    return cv2.RANSAC if config.estimator == "opencv-ransac" else cv2.USAC_MAGSAC


def _poselib_options(config: RobustConfig, seed: int) -> dict[str, Any]:
    return {"max_iterations": config.max_iterations, "success_prob": config.confidence, "seed": seed}
