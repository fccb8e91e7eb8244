"""Every benchmark side by side for many methods, on the data at hand, unattended.

    python benchmarks/peers.py --data DATA --peers PEERS --out OUT

What `traqpoint eval …` does with the options in `benchmarks()`, method by method: what is finished is not done again,
and what fails is reported at the end while the rest goes on. Besides predictions and results, OUT gets
``results/<benchmark>.json`` (numbers with their protocol), ``tables.md`` and ``plots/``.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import tyro

from traqpoint import optional
from traqpoint.cli.eval_homography import Homography
from traqpoint.cli.eval_localization import Localization
from traqpoint.cli.eval_pose import Pose
from traqpoint.cli.eval_sfm import Sfm
from traqpoint.cli.eval_tracks import Tracks
from traqpoint.cli.eval_vo import Vo
from traqpoint.cli.evaluate import EvalOptions
from traqpoint.errors import TraqPointError
from traqpoint.evaluation.methods.method import build_method, label
from traqpoint.evaluation.result import Result, markdown_table, protocol_differences
from traqpoint.inference.settings import plain
from traqpoint.io.colmap_model import read_model, shared_points
from traqpoint.viz.benchmarks import plot_benchmark

METHODS = ("traqpoint-s", "SIFT", "RootSIFT", "ORB", "AKAZE", "XFeat", "ALIKED-N16", "DISK")
Verb = Callable[..., EvalOptions]
"""A verb of the command line that lacks `methods` and what is common to all benchmarks."""


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


def benchmarks(options: Options) -> dict[str, Verb]:
    """Name -> verb. Sizes are chosen for the hour: DISK takes 3 s per image, COLMAP's verification 0.3 s per pair."""
    data, posed = options.data, options.data / "posed"
    verbs: dict[str, Verb] = {}
    for scene in ("castle-P19", "entry-P10"):
        folder = posed / "strecha" / scene
        verbs[f"pose-{scene}"] = partial(Pose, truth=folder, estimators=("opencv-ransac", "poselib"))
    verbs["homography-v_dogman"] = partial(Homography, folder=data / "homography" / "v_dogman")
    # Neighbours there share half of what they see, and the recording is good to about 5 px at a gap of 4.
    room = data / "rgbd" / "hololens_office"
    verbs["tracks-hololens"] = partial(Tracks, rgbd=room, first=150, frames=3, stride=2, threshold_px=5.0)
    verbs["tracks-photos"] = partial(Tracks, photos=data / "photos" / "val", limit=20)
    verbs["vo-kitti_07_start"] = partial(Vo, kitti=data / "vo" / "kitti_07_start")
    for scene in ("castle-P19", "entry-P10"):
        folder = posed / "strecha" / scene
        verbs[f"sfm-{scene}"] = partial(Sfm, images=folder / "images", truth=folder, known_cameras=True)
    for scene in ("south_building", "bonsai"):
        verbs[f"sfm-{scene}"] = partial(_sfm_of_subset, posed / scene, 16)
        verbs[f"localization-{scene}"] = partial(_localization_in_subset, posed / scene, 40)
    return {name: verb for name, verb in verbs.items() if not options.only or name.startswith(options.only)}


def _sfm_of_subset(workspace: Path, count: int, *, out: Path, **common: Any) -> Sfm:
    model, images = subset(workspace, out / "subset" / workspace.name, count)
    # Few images on an arc do not determine the focal length: COLMAP turned SIFT's bonsai inside out.
    return Sfm(images=images, truth=model, known_cameras=True, out=out, **common)


def _localization_in_subset(workspace: Path, count: int, *, out: Path, **common: Any) -> Localization:
    model, images = subset(workspace, out / "subset" / workspace.name, count)
    return Localization(model=model, images=images, every=4, neighbours=6, out=out, **common)


def subset(workspace: Path, target: Path, count: int) -> tuple[Path, Path]:
    """`count` images of a COLMAP workspace and the model of them: (folder of the model, folder of links).

    The image that shares most points with others, and those that share most with it: a map of a loose set takes
    COLMAP minutes, because it tries every pair as a beginning.
    """
    model, images = target / "sparse", target / "images"
    whole = read_model(workspace / "sparse" / "0")
    names = list(whole.images)
    pairs, shared = shared_points(whole)
    counts = torch.zeros(len(names), len(names), dtype=shared.dtype)
    counts[pairs[:, 0], pairs[:, 1]] = counts[pairs[:, 1], pairs[:, 0]] = shared
    centre = int(counts.sum(1).argmax())
    counts[centre, centre] = counts.max() + 1
    chosen = {names[i] for i in counts[centre].argsort(descending=True, stable=True)[:count].tolist()}
    reconstruction = optional.load("pycolmap").Reconstruction(workspace / "sparse" / "0")
    for image in list(reconstruction.images.values()):
        if image.name not in chosen:
            reconstruction.deregister_frame(image.frame_id)
    for name in sorted(chosen):
        link = images / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to((workspace / "images" / name).resolve())
    model.mkdir(parents=True, exist_ok=True)
    reconstruction.write(model)
    return model, images


def run(name: str, verb: Verb, options: Options, methods: Sequence[str]) -> str:
    """Run one benchmark for `methods`; what it prints, which is the table."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        verb(
            out=options.out / name,
            methods=tuple(methods),
            peers=options.peers,
            max_keypoints=options.max_keypoints,
            long_side=options.long_side,
            device=options.device,
        ).run()
    return printed.getvalue()


def results_of(folder: Path, order: Sequence[str]) -> dict[str, list[Result]]:
    """Table (the folder that its methods are in, relative to `folder`) -> results of the methods, in their order."""
    tables: dict[str, dict[str, Result]] = {}
    for path in folder.rglob("result.json"):
        name = path.parent.parent.relative_to(folder).as_posix()
        tables.setdefault(name, {})[path.parent.name] = Result.load(path)
    return {name: [found[method] for method in order if method in found] for name, found in tables.items()}


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
    "vo": ("ate_rmse_m", "rpe_translation_m", "rpe_rotation_deg", "mean_track_length", "inliers", "failed_frames"),
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
    failures, tables, usable = Failures(), [], {}
    for method in options.methods:
        with failures.collected(method):
            built = build_method(method, options.max_keypoints, options.long_side, options.peers, options.device)
            usable[method] = label(built)
    for name, verb in benchmarks(options).items():
        finished = []
        for method in usable:
            began = time.perf_counter()
            with failures.collected(f"{name}, {method}"):
                run(name, verb, options, [method])
                finished.append(method)
            state = "" if method in finished[-1:] else "  failed"
            print(f"{name:28} {method:12} {time.perf_counter() - began:7.1f} s{state}", file=sys.stderr, flush=True)
        with failures.collected(name):
            if finished:
                run(name, verb, options, finished)  # all are loaded; the pictures are of all of them
                for table, results in results_of(options.out / name, [usable[method] for method in finished]).items():
                    title = f"{name}-{table}".removesuffix("-.")
                    summarize(title, results, options.out / "results" / f"{title}.json")
                    pictures = {r.method: r.arrays for r in results}, {r.method: r.stats for r in results}
                    plot_benchmark(results[0].benchmark, *pictures, options.out / "plots" / f"{title}.png", title)
                    tables.append(markdown_table(results, COLUMNS[results[0].benchmark]))
    report = "\n\n".join([*tables, *(f"FAILED {line}" for line in failures)])
    (options.out / "tables.md").write_text(report + "\n", encoding="utf-8")
    print(report)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
