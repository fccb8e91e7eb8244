"""``traqpoint eval vo``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from traqpoint.cli.evaluate import EvalOptions, picture
from traqpoint.errors import ConfigError

if TYPE_CHECKING:
    from traqpoint.data.testsets.odometry import OdometrySequence
    from traqpoint.evaluation.methods.method import Method
    from traqpoint.evaluation.result import Result
    from traqpoint.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Vo(EvalOptions):
    """Monocular visual odometry by essential matrices alone: ATE, relative and KITTI segment errors, track lengths."""

    kitti: Path | None = None
    """A KITTI odometry sequence (sequences/07, with poses/07.txt), or a folder with calib.txt, images and poses.txt."""
    tum: Path | None = None
    """A TUM RGB-D sequence (rgb.txt, groundtruth.txt)."""
    calibration: Path | None = None
    """TUM: text file fx fy cx cy [k1 k2 p1 p2 [k3]]; by default that of Freiburg 1, 2 or 3, by the folder's name."""
    mode: Literal["frame", "keyframe"] = "frame"
    """Measure every frame against the one before, or against the last keyframe."""
    scale: Literal["truth", "none"] = "truth"
    """Length of each step: the true one (errors after SE(3) alignment), or relative to the step before by common points
    (after Sim(3) alignment)."""
    estimator: Literal["opencv-ransac", "opencv-magsac", "poselib"] = "opencv-ransac"
    """Of the essential matrices."""
    threshold_px: float | None = None
    """Inlier threshold; by default 0.5 for OpenCV's RANSAC, 1 for its MAGSAC and 2 for PoseLib."""

    def run(self) -> int:
        from traqpoint.evaluation.benchmarks.odometry import evaluate_odometry, odometry_pairs
        from traqpoint.evaluation.predict import predict
        from traqpoint.io.trajectory import Trajectory, write_kitti, write_tum
        from traqpoint.matching.config import RobustConfig
        from traqpoint.odometry.estimate import OdometryConfig
        from traqpoint.viz.paths import plot_paths

        sequence = self._sequence()
        config = OdometryConfig(self.mode, self.scale, robust=RobustConfig(self.estimator, self.threshold_px))
        pairs = odometry_pairs(sequence, config)

        def judge(method: Method, folder: Path, progress: Progress) -> Result:
            found = predict(sequence.images, pairs, method, folder, self.matcher, self.missing, progress)
            return evaluate_odometry(sequence, found, config, self.seed)

        results = self.evaluate(judge)
        for result in results:
            path = Trajectory.from_arrays(result.arrays["timestamps"], result.arrays["estimate"])
            write_tum(self.out / result.method / "path_tum.txt", path)
            write_kitti(self.out / result.method / "path_kitti.txt", path)
        paths = {result.method: result.arrays["centres_aligned"] for result in results}
        alignment = results[0].protocol["alignment"]
        title = f"{sequence.name}, after {alignment} alignment"
        with picture():
            plot_paths(paths, self.out / "paths.png", results[0].arrays["centres_true"], title=title)
        return 0

    def _sequence(self) -> OdometrySequence:
        from traqpoint.data.testsets.kitti import read_kitti_sequence
        from traqpoint.data.testsets.odometry import read_tum_sequence

        if (self.kitti is None) == (self.tum is None):
            raise ConfigError("give one sequence: --kitti DIR or --tum DIR")
        if self.kitti is not None:
            sequence = read_kitti_sequence(self.kitti)
        else:
            assert self.tum is not None
            sequence = read_tum_sequence(self.tum, self.calibration)
        if sequence.truth is None:
            raise ConfigError(f"{sequence.name}: there is no true path to judge by (traqpoint vo needs none)")
        return sequence
