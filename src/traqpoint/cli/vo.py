"""``traqpoint vo``"""

from __future__ import annotations

import dataclasses
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from traqpoint.cli.common import ExtractorOptions, one_source, open_window, progress_bar
from traqpoint.matching.config import MatcherConfig
from traqpoint.odometry.config import MapConfig, Mode


@dataclass(frozen=True, kw_only=True)
class Vo(ExtractorOptions):
    """The path of a calibrated camera from a video, a folder of images or a webcam, with keyframes and local bundle
    adjustment.

    Writes path_tum.txt, path_kitti.txt, path_euroc.csv, path.png and result.json. One camera does not see scale: the
    unit of length is the first step.
    """

    source: tyro.conf.Positional[Path | None] = None
    """Video file, or folder of images in order of their names."""
    camera: int | None = None
    """Index of a webcam instead, 0 is the first. Ended by Ctrl-C, or by q in its window; nothing of it is kept but the
    path."""
    calibration: Path
    """Text file fx fy cx cy [k1 k2 p1 p2 [k3]], or K in three rows, as OpenCV has them; KITTI's calib.txt; OpenCV's or
    ROS's YAML; a COLMAP model."""
    out: Path
    """Folder for the results, features and matches; a second run goes on where the first one stopped."""
    film: bool = False
    """Write path.webm, too: each frame with its tracks, coloured by length, and the camera on its path."""
    show: bool = False
    """Open a window with that: of a webcam as it sees, of a film when its path is known."""
    mode: Mode = "map"
    """Measure every frame against the points of the last keyframes (extra: sfm), or by essential matrices alone against
    the one before (frame) or the last keyframe (keyframe)."""
    map: MapConfig = dataclasses.field(default_factory=MapConfig)
    """mode map: points, bundle adjustment, what to do when lost."""
    every: int = 1
    """Use every n-th frame: a slow camera hardly moves between neighbouring ones."""
    max_frames: int | None = None
    """Use so many frames at most."""
    matcher: MatcherConfig = dataclasses.field(default_factory=MatcherConfig)
    """How descriptors are matched."""
    estimator: Literal["opencv-ransac", "opencv-magsac", "poselib"] = "opencv-magsac"
    """Of the essential matrices; poselib is the most exact one, and has to be installed."""

    def run(self) -> int:
        from traqpoint.apps.camera_path import camera_to_path
        from traqpoint.apps.vo import images_to_path
        from traqpoint.evaluation.benchmarks.odometry import OdometryBenchmark

        source = one_source("vo", self.source, self.camera)
        odometry = OdometryBenchmark(
            mode=self.mode, scale="none", estimator=self.estimator, matcher=self.matcher, map=self.map
        )
        common = (self.calibration, self.out, self.extractor(), odometry, self.every, self.max_frames)
        window = open_window(self.show, f"traqpoint {source}", self.out / "path.webm")
        film, show = self.film or (self.show and window is None), None if window is None else window.show
        with window or nullcontext():
            if isinstance(source, int):
                with progress_bar("vo") as bar:
                    result = camera_to_path(source, *common, film, bar, show)
            else:
                result = images_to_path(source, *common, film, progress_bar, show)
        for note in result.notes:
            print(f"traqpoint: warning: {note}", file=sys.stderr)
        frames, lost = len(result.arrays["estimate"]), int(result.stats["failed_frames"])
        means = f"{result.stats['inliers']:.0f} inliers, tracks of {result.stats['mean_track_length']:.2f} frames"
        print(f"{self.out / 'path_tum.txt'}: {frames} poses, {lost} of them lost; on average {means}")
        print("unit of length: the first step (one camera does not see scale)")
        return 1 if lost == frames - 1 else 0
