"""Odometry by essential matrices, by a map, and by a map with local bundle adjustment, for several methods.

python benchmarks/local_bundle.py --kitti SEQUENCE --out local_bundle
python benchmarks/local_bundle.py --rgbd RECORDING --limit 60 --errors-px 0.5 1 2 4 --ways bundle --out errors
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
import tyro

from traqpoint.data.posed.rgbd_layouts import read_rgbd
from traqpoint.data.testsets.kitti import read_kitti_sequence
from traqpoint.data.testsets.odometry import OdometrySequence
from traqpoint.evaluation.benchmarks.odometry import OdometryBenchmark
from traqpoint.evaluation.methods.method import build_method
from traqpoint.io.trajectory import Trajectory
from traqpoint.odometry.config import MapConfig

Way = Literal["essential", "map", "bundle"]
NAMES = {"essential": "essential matrices", "map": "map", "bundle": "map, local bundle adjustment"}
COLUMNS = {
    "ATE [m]": "ate_rmse_m",
    "relative [m]": "rpe_translation_m",
    "relative [deg]": "rpe_rotation_deg",
    "segments [%]": "segment_translation_percent",
    "tracks": "tracks",
    "mean length": "mean_track_length",
    "lost": "failed_frames",
}


def main(
    out: Path,
    kitti: Path | None = None,
    rgbd: Path | None = None,
    limit: int | None = None,
    methods: tuple[str, ...] = ("traqpoint-s", "SIFT", "ORB"),
    ways: tuple[Way, ...] = ("essential", "map", "bundle"),
    errors_px: tuple[float, ...] = (1.0,),
) -> None:
    """kitti, rgbd: one of them, as `traqpoint eval vo` and `--data.rgbd` take it. limit: the first frames only.
    errors_px: what a map bears as the reprojection error of an inlier."""
    sequence = read_kitti_sequence(kitti) if kitti is not None else recording(rgbd) if rgbd is not None else None
    assert sequence is not None, "give --kitti or --rgbd"
    sequence = first(sequence, limit or len(sequence.images))
    print(f"{sequence.name}, {len(sequence.images)} frames\n\n| method | {' | '.join(['by', *COLUMNS])} |")
    print("|---" * (len(COLUMNS) + 2) + "|")
    for name in methods:
        method = build_method(name, 2048, device="cpu")
        found = (
            OdometryBenchmark(mode="keyframe" if "essential" in ways else "map", scale="none")
            .on(sequence)
            .predict(method, out / name)
        )
        for way in ways:
            for error_px in errors_px if way != "essential" else (None,):
                benchmark = OdometryBenchmark(scale="none", estimator="opencv-magsac", **options(way, error_px))
                result = benchmark.on(sequence).score(found)
                values = [f"{result.stats.get(column, float('nan')):.4g}" for column in COLUMNS.values()]
                label = NAMES[way] + (f", {error_px:g} px" if error_px is not None and len(errors_px) > 1 else "")
                print(f"| {name} | {' | '.join([label, *values])} |", flush=True)


def options(way: Way, error_px: float | None) -> dict[str, Any]:
    """Of the benchmark."""
    if error_px is None:
        return {"mode": "keyframe"}
    return {"mode": "map", "map": MapConfig(bundle=way == "bundle", max_error_px=error_px)}


def recording(folder: Path) -> OdometrySequence:
    """The colour images of an RGB-D recording."""
    found = read_rgbd(folder)
    truth = Trajectory(
        torch.arange(len(found.shots), dtype=torch.float64), torch.stack([shot.cam_from_world for shot in found.shots])
    )
    images = {shot.name: shot.image for shot in found.shots}
    return OdometrySequence(folder.name, images, truth.timestamps, found.camera.color.double(), truth)


def first(sequence: OdometrySequence, count: int) -> OdometrySequence:
    """The first frames of a sequence with a true path."""
    assert sequence.truth is not None
    images = dict(list(sequence.images.items())[:count])
    return OdometrySequence(sequence.name, images, sequence.timestamps[:count], sequence.camera, sequence.truth[:count])


if __name__ == "__main__":
    tyro.cli(main)
