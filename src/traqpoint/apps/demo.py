"""The demo: our keypoints beside SIFT and ORB on a stereo pair and a camera flight whose true geometry is known."""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from traqpoint import optional
from traqpoint._version import __version__
from traqpoint.apps.demo_pictures import draw_pair, write_stack, write_trails
from traqpoint.apps.demo_scenes import FLIGHT, FLIGHT_SEED, PHOTOGRAPHS, camera_flight, motorcycle, require_pictures
from traqpoint.data.worlds.config import WorldsConfig
from traqpoint.errors import DataError
from traqpoint.evaluation.methods.method import Method, build_method
from traqpoint.evaluation.metrics.tracks import NO_SCORES, TrackScores, track_scores
from traqpoint.evaluation.metrics.video_tracks import LONG_TRACK, video_track_scores
from traqpoint.files import write_json
from traqpoint.geometry.warp import DepthGeometry
from traqpoint.inference.extractor import Extractor
from traqpoint.inference.settings import describe_extractor
from traqpoint.tracking.config import TrackerConfig
from traqpoint.tracking.online import OnlineTracker
from traqpoint.types import Features, SequenceBatch, Tracks

OURS = "TraqPoint"
CLASSICAL = ("SIFT", "ORB")
"""What everyone has at hand."""
THRESHOLD_PX = 3.0
"""A match or an observation is correct if it is this near to the truth."""
WINDOW = 10
"""Frames per reference frame: the flight's frames 0, 10 and 20 are references for the nine frames that follow."""
TRACKER = TrackerConfig(max_displacement=32.0, verify=False)
"""For every method: no point may move farther per frame than 5 % of the width, three times the fastest true one."""
FILES = ("motorcycle_matches.png", "flight_tracks.png", "flight_tracks.webm", "report.json")


@dataclass(frozen=True)
class DemoReport:
    """Everything measured, as report.json holds it.

    motorcycle, flight: per method keypoints, matches, correct_matches (both per frame pair), precision, completeness,
    localization_px (None without a correct match), ms_per_frame (extraction, median), and in flight track_length.
    tracker: per method what `VideoTrackScores` says of the online tracker's tracks through the whole flight.
    """

    protocol: dict[str, Any]
    motorcycle: dict[str, dict[str, float | None]]
    flight: dict[str, dict[str, float | None]]
    tracker: dict[str, dict[str, float]]


def run_demo(
    extractor: Extractor,
    out: str | Path,
    flight: WorldsConfig = FLIGHT,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DemoReport:
    """Extract, match and track with ours, SIFT and ORB; write FILES into `out`, replacing older ones one by one.

    All methods get the same images and the same number of keypoints. Matches are plain mutual nearest neighbours.
    In the flight, WINDOW frames at a time are scored by `track_scores`: how often is a keypoint of the window's first
    frame found in the others, of all the times it is truly seen there? The tracks that are drawn come from one
    OnlineTracker per method, which runs through all frames; `video_track_scores` judges them.
    Raises MissingDependencyError without scikit-image, DataError if `out` cannot be a folder.
    """
    require_pictures()
    out = _folder(out)
    limit = extractor.config.max_keypoints
    methods: dict[str, Method] = {OURS: extractor, **{name: build_method(name, limit) for name in CLASSICAL}}
    tick = _Ticker(progress, total=len(methods) * (2 + flight.num_frames) + flight.num_frames)

    pair = motorcycle()
    found = {name: _extract(method, pair, tick) for name, method in methods.items()}
    scores = {name: track_scores(f.features, pair, THRESHOLD_PX) for name, f in found.items()}
    motorcycle_rows = {name: _row(s, found[name], lengths=False) for name, s in scores.items()}
    panels = {
        f"{name}: {s.found} of {s.matches} matches correct ({s.found / max(s.matches, 1):.0%})": draw_pair(
            found[name].features, pair, THRESHOLD_PX
        )
        for name, s in scores.items()
    }
    write_stack(out / FILES[0], panels)

    scene = camera_flight(flight)
    found = {name: _extract(method, scene, tick) for name, method in methods.items()}
    flight_rows = {name: _row(_windows(f.features, scene), f, lengths=True) for name, f in found.items()}
    tracks = {name: _track(f.features) for name, f in found.items()}
    judged = {name: video_track_scores(t, scene.geometry, THRESHOLD_PX) for name, t in tracks.items()}
    captions = {
        f"{name}: {judged[name].long_tracks} tracks correct for {LONG_TRACK}+ frames": t for name, t in tracks.items()
    }
    write_trails(out / FILES[2], out / FILES[1], scene.images[0], captions, tick)

    tracker_rows = {name: dataclasses.asdict(s) for name, s in judged.items()}
    report = DemoReport(_protocol(extractor, flight), motorcycle_rows, flight_rows, tracker_rows)
    write_json(out / FILES[3], dataclasses.asdict(report))
    return report


class _Ticker:
    """Counts finished frames for the progress bar."""

    def __init__(self, progress: Callable[[int, int], None], total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self) -> None:
        self._done += 1
        self._progress(self._done, self._total)


@dataclass(frozen=True)
class _Extracted:
    features: list[Features]
    ms_per_frame: float


def _extract(method: Method, sequence: SequenceBatch, tick: Callable[[], None]) -> _Extracted:
    """Features of every frame, and the median time."""
    images = sequence.images[0]
    method(images[0])  # the first call of all pays for what later ones find ready
    features, seconds = [], []
    for image in images:
        began = time.perf_counter()
        features.append(method(image))
        seconds.append(time.perf_counter() - began)
        tick()
    return _Extracted(features, 1000 * median(seconds))


def _windows(features: list[Features], scene: SequenceBatch) -> TrackScores:
    """Sum of the scores of all whole windows of the flight; a flight shorter than WINDOW is one."""
    length = min(WINDOW, scene.num_frames)
    total = NO_SCORES
    for start in range(0, scene.num_frames - length + 1, length):
        window = slice(start, start + length)
        total = total + track_scores(features[window], _cut(scene, window), THRESHOLD_PX)
    return total


def _cut(scene: SequenceBatch, frames: slice) -> SequenceBatch:
    g = scene.geometry
    assert isinstance(g, DepthGeometry)
    cut = replace(g, depth=g.depth[:, frames], K=g.K[:, frames], cam_from_world=g.cam_from_world[:, frames])
    return SequenceBatch(scene.images[:, frames], cut)


def _track(features: list[Features]) -> Tracks:
    tracker = OnlineTracker(TRACKER)
    for of_frame in features:
        tracker.update(of_frame)
    return tracker.tracks()


def _row(scores: TrackScores, extracted: _Extracted, lengths: bool) -> dict[str, float | None]:
    summary = scores.summary()
    pairs = scores.references * (len(scores.length_histogram) - 1)
    row: dict[str, float | None] = {
        "keypoints": summary["keypoints"],
        "matches": scores.matches / max(pairs, 1),
        "correct_matches": summary["correct_matches"],
        "precision": summary["precision"],
        "completeness": summary["completeness"],
        "localization_px": summary["localization_px"] if scores.found else None,
        "ms_per_frame": extracted.ms_per_frame,
    }
    return row | {"track_length": summary["track_length"]} if lengths else row


def _protocol(extractor: Extractor, flight: WorldsConfig) -> dict[str, Any]:
    cv2, skimage = optional.load("cv2"), optional.load("skimage")
    return {
        "max_keypoints": extractor.config.max_keypoints,
        "matcher": "mutual nearest neighbours",
        "threshold_px": THRESHOLD_PX,
        "flight_window_frames": min(WINDOW, flight.num_frames),
        "tracker": TRACKER.described(),
        "extractor": describe_extractor(extractor),
        "motorcycle": "Middlebury 2014 Motorcycle, 741 x 500, occlusion from the left view's disparity",
        "flight": dataclasses.asdict(flight) | {"seed": FLIGHT_SEED, "textures": PHOTOGRAPHS},
        "versions": {
            "traqpoint": __version__,
            "torch": torch.__version__,
            "opencv": cv2.__version__,
            "scikit-image": skimage.__version__,
            "python": platform.python_version(),
        },
        "hardware": {
            "machine": platform.machine(),
            "device": str(extractor.device),
            "cores": os.cpu_count(),
            "torch_threads": torch.get_num_threads(),
            "opencv_threads": cv2.getNumThreads(),
        },
    }


def _folder(out: str | Path) -> Path:
    path = Path(out)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be used as a folder for the results ({error.strerror})") from None
    return path
