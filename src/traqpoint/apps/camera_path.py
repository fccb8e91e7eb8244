"""The path of a calibrated webcam, as it sees."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from traqpoint.apps.live import Show, until_ctrl_c
from traqpoint.apps.path_film import with_path
from traqpoint.apps.vo import check_odometry, write_path
from traqpoint.data.testsets.odometry import OdometrySequence
from traqpoint.errors import ConfigError
from traqpoint.evaluation.benchmarks.odometry import OdometryBenchmark
from traqpoint.evaluation.methods.method import label
from traqpoint.evaluation.predict import Predictions, protocol_of
from traqpoint.evaluation.result import Result
from traqpoint.files import locked
from traqpoint.inference.extractor import Extractor
from traqpoint.io.calibration import read_calibration
from traqpoint.io.memory import MemoryFeatures, MemoryMatches
from traqpoint.io.video import VideoWriter, read_frames
from traqpoint.odometry.follow import Follower
from traqpoint.progress import Progress
from traqpoint.types import Features


def camera_to_path(
    camera: int,
    calibration: str | Path,
    out: str | Path,
    extractor: Extractor,
    odometry: OdometryBenchmark,
    every: int = 1,
    max_frames: int | None = None,
    film: bool = False,
    progress: Progress | None = None,
    show: Show | None = None,
) -> Result:
    """What `images_to_path` writes, of a webcam by its index, until `max_frames`, `show` returns False, or Ctrl-C.

    Timestamps are seconds since the first frame; neither frames nor features are kept. Raises ConfigError if `out`
    holds a path already, or for a mode that needs the whole film.
    """
    check_odometry(odometry, every, max_frames)
    if odometry.mode != "map":
        raise ConfigError(f"a webcam is followed by a map: mode map, not {odometry.mode}")
    out = Path(out)
    if (out / "result.json").exists():
        raise ConfigError(f"{out}: holds a path already; choose another output, or delete it")
    with locked(out):
        images = islice(read_frames(camera), 0, None if max_frames is None else max_frames * every, every)
        first = next(images)
        follower = odometry.follower(read_calibration(calibration, (first.shape[1], first.shape[0])))
        live = _Live(follower)
        with (
            VideoWriter(out / "path.webm") if film else nullcontext() as video,
            until_ctrl_c(camera, lambda: len(live.times) > 1),
        ):
            for image in chain([first], images):
                live.update(time.monotonic(), extractor(image).to("cpu"))
                drawn = live.drawn(image) if video is not None or show is not None else image
                if video is not None:
                    video.write(drawn)
                if show is not None and not show(drawn):
                    break
                if progress is not None:
                    progress(len(live.times), max_frames)
        sequence, found = live.sequence(f"camera {camera}"), live.predictions(extractor, odometry)
        path = follower.path(sequence.timestamps)
        return write_path(odometry.on(sequence).judged(found, path, out), out, sequence.name)


@dataclass
class _Live:
    """A camera's frames so far. times: of a clock, in seconds. poses: (4, 4) each, as they were found: those that are
    drawn. features: without descriptors, for the tracks."""

    follower: Follower
    times: list[float] = field(default_factory=list)
    poses: list[Tensor] = field(default_factory=list)
    features: MemoryFeatures = field(default_factory=MemoryFeatures)

    def update(self, seconds: float, features: Features) -> None:
        self.poses.append(self.follower.update(features).pose())
        self.features.write(_name(len(self.times)), replace(features, descriptors=features.descriptors[:, :0]))
        self.times.append(seconds)

    def drawn(self, image: np.ndarray) -> np.ndarray:
        """The last frame, as a film shows it."""
        last = len(self.times) - 1
        lost = last > 0 and self.follower.sights[-1].reference < 0
        poses = torch.stack(self.poses)
        return with_path(image, last, lambda i: self.features.read(_name(i)), self.follower.verified, poses, lost)

    def sequence(self, name: str) -> OdometrySequence:
        """The frames without their files. Raises DataError for less than two."""
        times = torch.tensor(self.times, dtype=torch.float64)
        files = {_name(frame): Path(_name(frame)) for frame in range(len(times))}
        return OdometrySequence(name, files, times - times[:1], self.follower.camera)

    def predictions(self, extractor: Extractor, odometry: OdometryBenchmark) -> Predictions:
        """As those of a benchmark."""
        protocol = protocol_of(extractor, odometry.matcher)
        return Predictions(label(extractor), self.features, MemoryMatches(), protocol)


def _name(frame: int) -> str:
    return f"{frame:06}"
