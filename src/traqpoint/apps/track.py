"""A video tracked and drawn in one pass: on the screen, or as tracks, statistics, a picture and a video with trails."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from traqpoint.apps.live import Show, until_ctrl_c
from traqpoint.files import claim, write_json
from traqpoint.image import write_image
from traqpoint.inference.settings import describe_extractor, settings_path
from traqpoint.inference.tracker import track_frames
from traqpoint.io.npz import load_tracks, save_tracks
from traqpoint.io.video import FrameSource, VideoWriter, count_frames, frame_rate
from traqpoint.progress import Progress
from traqpoint.tracking.config import TrackerConfig
from traqpoint.tracking.online import OnlineTracker
from traqpoint.tracking.stats import TrackStatistics, track_statistics
from traqpoint.types import Features
from traqpoint.viz.draw import draw_trails


def track_to_folder(
    source: FrameSource,
    out: str | Path,
    extractor: Callable[[np.ndarray], Features],
    tracker: TrackerConfig | None = None,
    *,
    max_frames: int | None = None,
    trail_length: int = 30,
    min_drawn: int = 4,
    overwrite: bool = False,
    progress: Progress | None = None,
    show: Show | None = None,
) -> TrackStatistics:
    """Write ``tracks.npz``, ``statistics.json``, ``tracks.webm`` and ``tracks.png`` (its richest frame) into `out`.

    A webcam (source is its index) runs until `max_frames` or Ctrl-C, which is its normal end. A folder that is
    complete already is left as it is. min_drawn: tracks of fewer frames are not drawn. progress: called with (frames
    done, frames in all or None). show: is given each drawn frame; once it returns False, a webcam has ended, and a file
    goes on without it.
    Raises ConfigError if `out` holds tracks of another configuration.
    """
    out, online = Path(out), OnlineTracker(tracker)
    done = out / "tracks.npz"
    config = {
        "verb": "track",
        "source": str(source) if isinstance(source, (str, Path, int)) else "frames",
        "max_frames": max_frames,
        "trail_length": trail_length,
        "min_drawn": min_drawn,
        "extractor": describe_extractor(extractor),
        "tracker": online.config.described(),
    }
    claim(out, settings_path(out), config, done.is_file(), overwrite, done.unlink)
    if done.is_file():
        return track_statistics(load_tracks(done))

    best, best_image = -1, np.zeros((0, 0, 3), dtype=np.uint8)
    with (
        VideoWriter(out / "tracks.webm", frame_rate(source)) as video,
        until_ctrl_c(source, lambda: online.num_frames > 0),
    ):
        for drawn, richness in _drawn(source, extractor, online, max_frames, trail_length, min_drawn, progress):
            video.write(drawn)
            if richness > best:
                best, best_image = richness, drawn
            if show is not None and not show(drawn):
                show = None
                if isinstance(source, int):
                    break
    tracks = online.tracks()
    statistics = track_statistics(tracks)
    write_image(out / "tracks.png", best_image)
    write_json(out / "statistics.json", dataclasses.asdict(statistics))
    # Last: its presence says that the rest is complete.
    save_tracks(done, tracks)
    return statistics


def watch(
    source: FrameSource,
    extractor: Callable[[np.ndarray], Features],
    show: Show,
    tracker: TrackerConfig | None = None,
    *,
    max_frames: int | None = None,
    trail_length: int = 30,
    min_drawn: int = 4,
    progress: Progress | None = None,
) -> TrackStatistics:
    """The same without a folder, until `show` returns False, the source ends or Ctrl-C."""
    online = OnlineTracker(tracker)
    with until_ctrl_c(source, lambda: online.num_frames > 0):
        for drawn, _ in _drawn(source, extractor, online, max_frames, trail_length, min_drawn, progress):
            if not show(drawn):
                break
    return track_statistics(online.tracks())


def _drawn(
    source: FrameSource,
    extractor: Callable[[np.ndarray], Features],
    online: OnlineTracker,
    max_frames: int | None,
    trail_length: int,
    min_drawn: int,
    progress: Progress | None,
) -> Iterator[tuple[np.ndarray, int]]:
    """Each frame with its trails, and how many observations these are."""
    total = None if isinstance(source, int) else count_frames(source)
    if max_frames is not None:
        total = min(total or max_frames, max_frames)
    for image in track_frames(source, extractor, online, max_frames):
        recent = online.tracks(since=max(0, online.num_frames - trail_length))
        yield draw_trails(image, recent, online.num_frames - 1, trail_length, min_drawn), len(recent.frame)
        if progress is not None:
            progress(online.num_frames, total)
