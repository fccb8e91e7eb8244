"""Every benchmark side by side for many methods, on the data at hand, unattended.

    python benchmarks/peers.py --data DATA --peers PEERS --out OUT

A table of benchmarks, each run method by method: what is finished is not done again, and what fails is reported at the
end while the rest goes on. OUT gets a folder per benchmark with predictions, results and pictures,
``results/<benchmark>.json`` (numbers with their protocol) and ``tables.md``.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro

from traqpoint.errors import TraqPointError
from traqpoint.evaluation.benchmark import Benchmark
from traqpoint.evaluation.benchmarks.homography import HomographyBenchmark
from traqpoint.evaluation.benchmarks.localization import LocalizationBenchmark
from traqpoint.evaluation.benchmarks.odometry import OdometryBenchmark
from traqpoint.evaluation.benchmarks.pose import PoseBenchmark
from traqpoint.evaluation.benchmarks.sfm import SfmBenchmark
from traqpoint.evaluation.benchmarks.tracks import TracksBenchmark
from traqpoint.evaluation.methods.method import build_method
from traqpoint.evaluation.result import Result, markdown_table, protocol_differences
from traqpoint.evaluation.run import run_benchmark
from traqpoint.inference.settings import plain

METHODS = (
    *("traqpoint-s", "traqpoint-s-v1", "SIFT", "RootSIFT", "ORB", "AKAZE", "XFeat"),
    *("EdgePoint2-M64", "ALIKED-N16", "ALIKED-N16rot", "DISK"),
)


@dataclass(frozen=True)
class Options:
    """What to run. The defaults take an hour on two cores."""

    data: Path
    """Folder with posed/, rgbd/, homography/, vo/ and photos/."""
    out: Path
    """Folder for everything that is written."""
    peers: Path | None = None
    """Folder with the weights of other methods."""
    methods: tuple[str, ...] = METHODS
    """As traqpoint eval takes them."""
    only: tuple[str, ...] = ()
    """Only benchmarks whose names begin with one of these."""
    max_keypoints: int = 1024
    """Per image."""
    long_side: int = 640
    """Larger images are shrunk to this many pixels."""
    device: str = "auto"
    """auto, cpu, cuda …"""


def benchmarks(options: Options) -> dict[str, Benchmark]:
    """Name -> benchmark. Sizes are for the hour: DISK takes 3 s per image, COLMAP's verification 0.3 s per pair."""
    data, posed = options.data, options.data / "posed"
    size = {"max_keypoints": options.max_keypoints, "long_side": options.long_side}
    pose, homography, tracks, odometry, sfm, localization = (
        partial(kind, **size)
        for kind in (
            PoseBenchmark,
            HomographyBenchmark,
            TracksBenchmark,
            OdometryBenchmark,
            SfmBenchmark,
            LocalizationBenchmark,
        )
    )
    out: dict[str, Benchmark] = {}
    for scene in ("castle-P19", "entry-P10"):
        out[f"pose-{scene}"] = pose(truth=posed / "strecha" / scene, estimators=("opencv-ransac", "poselib"))
    out["homography-v_dogman"] = homography(folder=data / "homography" / "v_dogman")
    # Neighbours there share half of what they see, and the recording is good to about 5 px at a gap of 4.
    room = data / "rgbd" / "hololens_office"
    out["tracks-hololens"] = tracks(rgbd=room, first=150, frames=3, stride=2, threshold_px=5.0)
    out["tracks-photos"] = tracks(photos=data / "photos" / "val", limit=20)
    out["odometry-kitti_07_start"] = odometry(kitti=data / "vo" / "kitti_07_start")
    for scene in ("castle-P19", "entry-P10"):
        folder = posed / "strecha" / scene
        out[f"sfm-{scene}"] = sfm(images=folder / "images", truth=folder, known_cameras=True)
    for scene in ("south_building", "bonsai"):
        images, model = posed / scene / "images", posed / scene / "sparse" / "0"
        # Few images on an arc do not determine the focal length: COLMAP turned SIFT's bonsai inside out.
        out[f"sfm-{scene}"] = sfm(images=images, truth=model, known_cameras=True, limit=16)
        out[f"localization-{scene}"] = localization(model=model, images=images, every=4, neighbours=6, limit=40)
    return {name: value for name, value in out.items() if not options.only or name.startswith(options.only)}


def summarize(name: str, results: Sequence[Result], path: Path) -> None:
    """Numbers, what identifies each method, and the protocol that they share, without arrays."""
    rows = {r.method: {"stats": r.stats, "notes": r.notes, "extractor": r.protocol.get("extractor")} for r in results}
    protocol = {key: value for key, value in results[0].protocol.items() if key != "extractor"}
    content = {"benchmark": name, "protocol": protocol, "differences": protocol_differences(results), "rows": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain(content), indent=1) + "\n", encoding="utf-8")


COLUMNS = {
    "pose": ("auc_5", "auc_10", "auc_20", "precision", "matches", "inliers", "failed"),
    "homography": ("repeatability", "mma_1", "mma_3", "mma_5", "auc_1", "auc_3", "auc_5", "failed"),
    "tracks": (
        "keypoints",
        "completeness",
        "track_length",
        "survival",
        "localization_px",
        "repeatability",
        "precision",
    ),
    "odometry": (
        "ate_rmse_m",
        "rpe_translation_m",
        "rpe_rotation_deg",
        "mean_track_length",
        "inliers",
        "failed_frames",
    ),
    "sfm": ("registered", "points", "mean_track_length", "reprojection_error_px", "centre_error_median", "auc_5"),
    "localization": ("position_error_median_units", "rotation_error_median_deg", "inliers", "map_points", "failed"),
}
"""Kind -> the numbers of the printed tables; the JSON files hold all of them."""


class Failures(list[str]):
    """One line for each thing that went wrong; the rest goes on."""

    @contextlib.contextmanager
    def collected(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.append(f"{what}: {' '.join(str(error).split()) or type(error).__name__}")
            if not isinstance(error, TraqPointError):
                traceback.print_exc()


def main(options: Options) -> int:
    failures, tables, usable = Failures(), [], []
    for method in options.methods:
        with failures.collected(method):
            build_method(method, options.max_keypoints, options.long_side, options.peers, options.device)
            usable.append(method)
    for name, benchmark in benchmarks(options).items():
        run = partial(run_benchmark, benchmark, out=options.out / name, peers=options.peers, device=options.device)
        finished = []
        for method in usable:
            began = time.perf_counter()
            with failures.collected(f"{name}, {method}"):
                run([method])
                finished.append(method)
            state = "" if method in finished[-1:] else "  failed"
            print(f"{name:28} {method:12} {time.perf_counter() - began:7.1f} s{state}", file=sys.stderr, flush=True)
        with failures.collected(name):
            for variant, results in run(finished).items() if finished else ():  # loaded; the pictures are of all
                title = f"{name}-{variant}".removesuffix("-")
                summarize(title, results, options.out / "results" / f"{title}.json")
                tables.append(markdown_table(results, COLUMNS[benchmark.kind]))
    report = "\n\n".join([*tables, *(f"FAILED {line}" for line in failures)])
    (options.out / "tables.md").write_text(report + "\n", encoding="utf-8")
    print(report)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
