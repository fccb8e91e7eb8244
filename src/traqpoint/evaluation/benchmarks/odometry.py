"""Odometry: how far does the path that a method's matches give stray from the true one?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from traqpoint.errors import ConfigError
from traqpoint.evaluation.benchmark import Benchmark
from traqpoint.matching.config import Estimator, RobustConfig
from traqpoint.odometry.config import MapConfig, Mode, OdometryConfig

if TYPE_CHECKING:
    from traqpoint.data.testsets.odometry import OdometrySequence
    from traqpoint.evaluation.predict import Predictions
    from traqpoint.evaluation.result import Result
    from traqpoint.geometry.camera import Camera
    from traqpoint.inference.pairs import Pair
    from traqpoint.odometry.follow import Follower
    from traqpoint.odometry.path import Odometry
    from traqpoint.progress import Progress


@dataclass(frozen=True, kw_only=True)
class OdometryBenchmark(Benchmark):
    """Monocular visual odometry, by essential matrices alone or with a map: ATE, relative errors, track lengths."""

    kind: ClassVar[str] = "odometry"

    kitti: Path | None = None
    """A KITTI odometry sequence (sequences/07, with poses/07.txt), or a folder with calib.txt, images and poses.txt."""
    tum: Path | None = None
    """A TUM RGB-D sequence (rgb.txt, groundtruth.txt)."""
    calibration: Path | None = None
    """TUM: text file fx fy cx cy [k1 k2 p1 p2 [k3]]; by default that of Freiburg 1, 2 or 3, by the folder's name."""
    mode: Mode = "frame"
    """Measure every frame against the one before, against the last keyframe, or against a map of the last keyframes."""
    scale: Literal["truth", "none"] = "truth"
    """Length of each step: the true one (errors after SE(3) alignment), or relative to the step before by common points
    (after Sim(3) alignment). Mode map goes with none."""
    window: int = 8
    """keyframe, map: a keyframe serves at most this many frames."""
    map: MapConfig = field(default_factory=MapConfig)
    """mode map: points and bundle adjustment."""
    estimator: Estimator = "opencv-ransac"
    """Of the essential matrices."""
    threshold_px: float | None = None
    """Inlier threshold; by default 0.5 for OpenCV's RANSAC, 1 for its MAGSAC and 2 for PoseLib."""

    @cached_property
    def data(self) -> OdometrySequence:
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

    @cached_property
    def config(self) -> OdometryConfig:
        """How the path is estimated."""
        robust = RobustConfig(self.estimator, self.threshold_px)
        return OdometryConfig(self.mode, self.scale, self.window, robust=robust, map=self.map)

    def inputs(self) -> tuple[Mapping[str, Path], Sequence[Pair]]:
        from traqpoint.inference.pairs import sequential_pairs

        reach = self.config.reach
        return self.data.images, sequential_pairs(list(self.data.images), reach) if reach else ()

    def estimate(self, found: Predictions, progress: Progress | None = None) -> Odometry:
        """The path from what was predicted; in mode map frames are matched as they are needed."""
        from traqpoint.odometry.estimate import estimate_path
        from traqpoint.odometry.follow import follow_path

        names = list(self.data.images)
        if self.mode != "map":
            return estimate_path(self.data, lambda i, j: found.pair(names[i], names[j]), self.config, self.seed)
        return follow_path(self.data.timestamps, map(found.read, names), self.follower(self.data.camera), progress)

    def follower(self, camera: Camera) -> Follower:
        """Of mode map, to be fed frame by frame."""
        from traqpoint.matching.run import build_matcher
        from traqpoint.odometry.follow import Follower

        return Follower(camera, build_matcher(self.matcher), self.config, self.seed)

    def score(
        self, found: Predictions, variant: str = "", out: Path | None = None, progress: Progress | None = None
    ) -> Result:
        """Estimate the path and judge it, as `judged` says."""
        return self.judged(found, self.estimate(found, progress), out)

    def judged(self, found: Predictions, path: Odometry, out: Path | None = None) -> Result:
        """Compare a path with the truth, if there is one.

        The true scale is aligned by SE(3), unknown scale by Sim(3). Lost frames keep the pose that repeating the last
        motion gives them, and are judged with it; coverage is the share of the others. arrays: per frame, the path
        after alignment included. out: gets the path, in the formats of TUM, KITTI and EuRoC.
        """
        from traqpoint.evaluation.metrics.odometry import path_scores, track_lengths
        from traqpoint.evaluation.metrics.trajectory import trajectory_scores
        from traqpoint.evaluation.result import Result
        from traqpoint.io.trajectory import write_euroc, write_kitti, write_tum
        from traqpoint.matching.verify import POSE_USUAL

        names = list(self.data.images)
        stats, arrays = path_scores(path)
        lengths = track_lengths(path, [found.read(name) for name in names])
        stats |= {"tracks": float(len(lengths)), "mean_track_length": float(lengths.mean()) if len(lengths) else 0.0}
        arrays |= {
            "track_lengths": lengths,
            "timestamps": path.trajectory.timestamps.numpy(),
            "estimate": path.trajectory.cam_from_world.numpy(),
        }
        protocol: dict[str, Any] = {
            "dataset": {"name": self.data.name, "images": len(names)},
            **self.config.described(POSE_USUAL),
            **found.protocol,
            "seed": self.seed,
        }
        if self.data.truth is not None:
            alignment: Literal["se3", "sim3"] = "se3" if self.scale == "truth" else "sim3"
            errors, curves, segments = trajectory_scores(path.trajectory, self.data.truth, alignment)
            stats, arrays, protocol = errors | stats, arrays | curves, protocol | segments
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            write_tum(out / "path_tum.txt", path.trajectory)
            write_kitti(out / "path_kitti.txt", path.trajectory)
            write_euroc(out / "path_euroc.csv", path.trajectory)
        notes = [*self.data.notes, *path.notes]
        if found.failed:
            notes.append(f"{len(found.failed)} images could not be read, the first: {found.failed[0]}")
        return Result(self.kind, found.method, stats, arrays, protocol, tuple(notes))

    def draw(self, results: Sequence[Result], folder: Path, title: str) -> None:
        """The paths after alignment, from above."""
        from traqpoint.viz.paths import plot_paths

        paths = {result.method: result.arrays["centres_aligned"] for result in results}
        up = None if self.kitti is None else "y"  # of KITTI's first camera; TUM's world stands on its z
        title = f"{self.data.name}, after {results[0].protocol['alignment']} alignment"
        plot_paths(paths, folder / "paths.png", results[0].arrays["centres_true"], title=title, up=up)
