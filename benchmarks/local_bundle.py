"""Odometry by essential matrices, by a map, and by a map with local bundle adjustment, for several methods.

python benchmarks/local_bundle.py --kitti SEQUENCE --out local_bundle
"""

from __future__ import annotations

from pathlib import Path

import tyro

from traqpoint.evaluation.benchmarks.odometry import OdometryBenchmark
from traqpoint.evaluation.methods.method import build_method
from traqpoint.odometry.config import MapConfig

WAYS = {
    "essential matrices": {"mode": "keyframe"},
    "map": {"mode": "map", "map": MapConfig(bundle=False)},
    "map, local bundle adjustment": {"mode": "map"},
}
COLUMNS = {
    "ATE [m]": "ate_rmse_m",
    "relative [m]": "rpe_translation_m",
    "relative [deg]": "rpe_rotation_deg",
    "segments [%]": "segment_translation_percent",
    "tracks": "tracks",
    "mean length": "mean_track_length",
    "lost": "failed_frames",
}


def main(kitti: Path, out: Path, methods: tuple[str, ...] = ("traqpoint-s", "SIFT", "ORB")) -> None:
    print(f"| method | {' | '.join(['by', *COLUMNS])} |")
    print("|---" * (len(COLUMNS) + 2) + "|")
    for name in methods:
        method = build_method(name, 2048, device="cpu")
        found = OdometryBenchmark(kitti=kitti, mode="keyframe").predict(method, out / name)
        for way, options in WAYS.items():
            benchmark = OdometryBenchmark(kitti=kitti, scale="none", estimator="opencv-magsac", **options)
            result = benchmark.score(found)
            values = [f"{result.stats[column]:.4g}" for column in COLUMNS.values()]
            print(f"| {name} | {' | '.join([way, *values])} |", flush=True)


if __name__ == "__main__":
    tyro.cli(main)
