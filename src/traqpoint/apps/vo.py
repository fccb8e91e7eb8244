"""From a video or a folder of images of a calibrated camera to its path."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import torch

from traqpoint import optional
from traqpoint.apps.live import Show
from traqpoint.apps.path_film import write_path_film
from traqpoint.data.testsets.odometry import read_image_sequence
from traqpoint.errors import ConfigError
from traqpoint.evaluation.benchmarks.odometry import OdometryBenchmark
from traqpoint.evaluation.result import Result
from traqpoint.files import atomic, locked
from traqpoint.image import list_images, write_image
from traqpoint.inference.extractor import Extractor
from traqpoint.io.trajectory import Trajectory
from traqpoint.io.video import frame_rate, read_frames
from traqpoint.progress import Bar, no_bar
from traqpoint.viz.paths import plot_paths


def images_to_path(
    source: str | Path,
    calibration: str | Path,
    out: str | Path,
    extractor: Extractor,
    odometry: OdometryBenchmark,
    every: int = 1,
    max_frames: int | None = None,
    film: bool = False,
    bar: Bar = no_bar,
    show: Show | None = None,
) -> Result:
    """Estimate the path and write path_tum.txt, path_kitti.txt, path_euroc.csv (world_from_cam; the first camera is the
    world), path.png and result.json into `out`.

    source: a folder of images in order of their names, or a video, whose frames are kept in ``out/frames``. Of these
    every `every`-th one is used, `max_frames` at most. calibration: see `io.calibration`. Without truth
    the unit of length is the first step. Timestamps are seconds of a video, else what the names of the images say
    (`data.testsets.odometry.times_of`). film: write path.webm, too, see `apps.path_film`. show: is given its frames
    until it returns False. Raises ConfigError if `out` holds features of other settings.
    """
    check_odometry(odometry, every, max_frames)
    source, out = Path(source), Path(out)
    if source.is_dir():
        sequence = read_image_sequence(list_images(source)[::every][:max_frames], calibration)
    else:
        paths = _frames(source, out, every, max_frames)
        seconds = torch.tensor([int(path.stem) for path in paths], dtype=torch.float64) / frame_rate(source)
        sequence = read_image_sequence(paths, calibration, seconds)
    judge, names = odometry.on(sequence), list(sequence.images)
    with locked(out):
        with bar("vo") as progress:
            found = judge.predict(extractor, out, progress)
            path = judge.estimate(found, progress)
        if film or show is not None:
            with bar("film") as progress:
                file, fps = out / "path.webm" if film else None, frame_rate(source) / every
                write_path_film(file, sequence, path, lambda i: found.read(names[i]), fps, show, progress)
        return write_path(judge.judged(found, path, out), out, source.name)


def check_odometry(odometry: OdometryBenchmark, every: int, max_frames: int | None) -> None:
    """Tell before the work what would be missing at its end.

    Raises ConfigError for impossible numbers, MissingDependencyError without matplotlib, or pycolmap where it adjusts.
    """
    if every < 1 or (max_frames is not None and max_frames < 2):
        raise ConfigError(f"need every >= 1 and max_frames >= 2, got {every} and {max_frames}")
    optional.load("matplotlib")
    if odometry.mode == "map" and odometry.map.bundle:
        optional.load("pycolmap")


def write_path(result: Result, out: Path, title: str) -> Result:
    """Write result.json and path.png of a path into `out`; returns the result."""
    result.save(out / "result.json")
    centres = Trajectory.from_arrays(result.arrays["timestamps"], result.arrays["estimate"]).centres
    plot_paths({result.method: centres.numpy()}, out / "path.png", unit="first step", title=title, up="y")
    return result


def _frames(video: Path, out: Path, every: int, max_frames: int | None) -> list[Path]:
    """Frames of the video as files, named by their number in it; those that are there already are not written again."""
    paths = []
    stop = None if max_frames is None else max_frames * every
    for number, frame in enumerate(islice(read_frames(video), stop)):
        if number % every == 0:
            path = out / "frames" / f"{number:06}.png"
            if not path.is_file():
                with atomic(path) as partial:
                    write_image(partial, frame)
            paths.append(path)
    return paths
