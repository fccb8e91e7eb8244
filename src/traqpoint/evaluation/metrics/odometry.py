"""What an estimated path says of the features it was made from: frames that were lost, and how long tracks live."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from traqpoint.odometry.path import Odometry
from traqpoint.tracking.build import build_tracks
from traqpoint.tracking.stats import track_statistics
from traqpoint.types import Features


def path_scores(found: Odometry) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """(stats, arrays per frame): coverage, lost frames, keyframes, mean inliers of a frame."""
    measured = found.reference >= 0
    inliers = found.inliers[1:].double()
    stats = {
        "coverage": 1 - float(found.lost.double().mean()),
        "failed_frames": float(found.lost.sum()),
        "keyframes": float(len(found.reference[measured].unique())),
        "inliers": float(inliers.mean()) if len(inliers) else float("nan"),
    }
    arrays = {name: getattr(found, name).numpy() for name in ("reference", "matches", "inliers", "lost")}
    return stats, arrays


def track_lengths(found: Odometry, features: Sequence[Features | None]) -> np.ndarray:
    """(T,) observations per track of the matches that agreed with the estimated motion. features: of each frame."""
    nothing = Features(torch.empty(0, 2), torch.empty(0), torch.empty(0, 0), (1, 1))
    used = {frame for pair in found.verified for frame in pair}
    of_frames = [f if f is not None and i in used else nothing for i, f in enumerate(features)]
    histogram = track_statistics(build_tracks(of_frames, found.verified)).length_histogram
    return np.repeat(np.arange(len(histogram)), histogram)
