"""The odometry benchmark: how far does the path that a method's matches give stray from the true one?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from traqpoint.data.testsets.odometry import OdometrySequence
from traqpoint.errors import GeometryError
from traqpoint.evaluation.metrics.trajectory import (
    KITTI_LENGTHS,
    KITTI_STEP,
    Alignment,
    absolute_errors,
    align,
    kitti_errors,
    path_lengths,
    relative_errors,
)
from traqpoint.evaluation.predict import Predictions
from traqpoint.evaluation.result import Result
from traqpoint.inference.pairs import Pair, sequential_pairs
from traqpoint.io.trajectory import Trajectory, associate
from traqpoint.odometry.estimate import Odometry, OdometryConfig, estimate_path
from traqpoint.tracking.build import build_tracks
from traqpoint.tracking.stats import track_statistics
from traqpoint.types import Features, Matches


def odometry_pairs(sequence: OdometrySequence, config: OdometryConfig) -> list[Pair]:
    """The pairs of images that must be matched for `evaluate_odometry`."""
    return sequential_pairs(list(sequence.images), config.reach)


def evaluate_odometry(
    sequence: OdometrySequence, predictions: Predictions, config: OdometryConfig | None = None, seed: int = 0
) -> Result:
    """Estimate the path from predictions on disk and compare it with the truth, if there is one.

    Metric scale (config.scale = "truth") is aligned by SE(3), unknown scale by Sim(3). Lost frames keep the pose that
    repeating the last motion gives them, and are judged with it; coverage is the share of the others. arrays: per
    frame, the path after alignment included.
    """
    config = config or OdometryConfig()
    names = list(sequence.images)

    def read(i: int, j: int) -> tuple[Features, Features, Matches] | None:
        return predictions.pair(names[i], names[j])

    found = estimate_path(sequence, read, config, seed)
    stats, arrays = _path_scores(found)
    lengths = track_lengths(sequence, predictions, found)
    stats |= {"tracks": float(len(lengths)), "mean_track_length": float(lengths.mean()) if len(lengths) else 0.0}
    arrays |= {
        "track_lengths": lengths,
        "timestamps": found.trajectory.timestamps.numpy(),
        "estimate": found.trajectory.cam_from_world.numpy(),
    }
    protocol: dict[str, Any] = {
        "dataset": {"name": sequence.name, "images": len(names)},
        **config.described(),
        **predictions.protocol,
        "seed": seed,
    }
    if sequence.truth is not None:
        alignment: Alignment = "se3" if config.scale == "truth" else "sim3"
        errors, curves, segments = trajectory_scores(found.trajectory, sequence.truth, alignment)
        stats, arrays, protocol = errors | stats, arrays | curves, protocol | segments
    return Result("vo", predictions.method, stats, arrays, protocol, _notes(sequence, predictions, found))


def trajectory_scores(
    estimate: Trajectory, truth: Trajectory, alignment: Alignment, max_difference: float = 0.02
) -> tuple[dict[str, float], dict[str, np.ndarray], dict[str, Any]]:
    """(stats, arrays per pose or segment, protocol) of any path against the truth.

    Poses of the same moment are compared (`associate`); coverage is the share of true poses that have a partner. ATE
    after `alignment`; relative errors from each compared pose to the next (RMSE); KITTI's segment errors with
    `segment_lengths`. Raises GeometryError if no moments agree.
    """
    i, j = associate(estimate, truth, max_difference)
    if not len(i):
        raise GeometryError(f"no pose of the estimate lies within {max_difference:g} of the time of a true one")
    coverage = len(j) / len(truth)
    estimate, truth = estimate[i], truth[j]
    aligned = align(estimate, truth, alignment)
    absolute = absolute_errors(aligned, truth)
    translation, rotation = relative_errors(aligned, truth, 1)
    lengths = segment_lengths(float(path_lengths(truth)[-1]))
    step = KITTI_STEP if lengths == KITTI_LENGTHS else 1
    percent, deg_per_m, length = kitti_errors(aligned, truth, lengths, step)
    stats = {
        "coverage": coverage,
        "ate_rmse_m": _rmse(absolute),
        "ate_mean_m": float(absolute.mean()),
        "ate_median_m": float(absolute.median()),
        "ate_max_m": float(absolute.max()),
        "rpe_translation_m": _rmse(translation),
        "rpe_rotation_deg": _rmse(rotation),
        "segment_translation_percent": _mean(percent),
        "segment_rotation_deg_per_m": _mean(deg_per_m),
    }
    arrays = {
        "ate_m": absolute,
        "rpe_translation_m": translation,
        "rpe_rotation_deg": rotation,
        "segment_translation_percent": percent,
        "segment_rotation_deg_per_m": deg_per_m,
        "segment_length_m": length,
        "centres_aligned": aligned.centres,
        "centres_true": truth.centres,
    }
    used = sorted(set(length.tolist()))
    protocol = {"alignment": alignment, "segments_m": used, "segment_starts": f"every {step} frames"}
    return stats, {name: value.numpy() for name, value in arrays.items()}, protocol


def segment_lengths(path_length: float) -> tuple[float, ...]:
    """KITTI's 100 … 800 m for a path of 200 m or more; for a shorter one a tenth, a hundredth … of them."""
    lengths: tuple[float, ...] = KITTI_LENGTHS
    while 0 < path_length < 2 * lengths[0]:
        lengths = tuple(length / 10 for length in lengths)
    return lengths


def track_lengths(sequence: OdometrySequence, predictions: Predictions, found: Odometry) -> np.ndarray:
    """(T,) observations per track of the matches that agreed with the estimated motion, frame by frame."""
    names, store = list(sequence.images), predictions.features
    nothing = Features(torch.empty(0, 2), torch.empty(0), torch.empty(0, 0), (1, 1))
    used = {frame for pair in found.verified for frame in pair}
    features = [store.read(name) if i in used else nothing for i, name in enumerate(names)]
    histogram = track_statistics(build_tracks(features, found.verified)).length_histogram
    return np.repeat(np.arange(len(histogram)), histogram)


def _path_scores(found: Odometry) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    measured = found.reference >= 0
    stats = {
        "coverage": 1 - float(found.lost.double().mean()),
        "failed_frames": float(found.lost.sum()),
        "keyframes": float(len(found.reference[measured].unique())),
        "inliers": _mean(found.inliers[1:].double()),
    }
    arrays = {name: getattr(found, name).numpy() for name in ("reference", "matches", "inliers", "lost")}
    return stats, arrays


def _notes(sequence: OdometrySequence, predictions: Predictions, found: Odometry) -> tuple[str, ...]:
    notes = list(sequence.notes)
    lost = int(found.lost.sum())
    if lost:
        notes.append(f"{lost} of {len(found.lost)} frames lost: they repeat the last motion")
    if found.unscaled:
        notes.append(f"{found.unscaled} steps share too few points with the step before: its length is kept")
    if predictions.failed:
        notes.append(f"{len(predictions.failed)} images could not be read, the first: {predictions.failed[0]}")
    return tuple(notes)


def _mean(values: Tensor) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _rmse(values: Tensor) -> float:
    return float(values.square().mean().sqrt()) if len(values) else float("nan")
