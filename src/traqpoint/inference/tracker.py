"""Tracks of a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from traqpoint.errors import ConfigError
from traqpoint.inference.ahead import mapped, shared_cores
from traqpoint.io.video import FrameSource, read_frames
from traqpoint.tracking.config import TrackerConfig
from traqpoint.tracking.online import OnlineTracker
from traqpoint.types import Features, Tracks


def track(
    source: FrameSource,
    extractor: Callable[[np.ndarray], Features],
    config: TrackerConfig | None = None,
    *,
    max_frames: int | None = None,
    min_length: int = 2,
) -> Tracks:
    """Track keypoints through a video file, a webcam (its index), a folder, or a list of image paths or arrays.

    extractor: an Extractor, or anything that maps uint8 (H, W, 3) RGB to Features. max_frames: stop there.
    min_length: leave out tracks with fewer observations. Raises ImageError if the source cannot be read.
    """
    tracker = OnlineTracker(config)
    for _ in track_frames(source, extractor, tracker, max_frames):
        pass
    return tracker.tracks(min_length)


def track_frames(
    source: FrameSource,
    extractor: Callable[[np.ndarray], Features],
    tracker: OnlineTracker,
    max_frames: int | None = None,
) -> Iterator[np.ndarray]:
    """Feed `tracker` frame by frame and give each frame, uint8 (H, W, 3) RGB, right after its update.

    An extractor with `at_once` is called by so many threads, each with its share of the cores, but for a webcam, whose
    next frame is not there yet: threads that share no work need not wait for each other on a busy machine.
    Raises ConfigError for max_frames below 1.
    """
    if max_frames is not None and max_frames < 1:
        raise ConfigError(f"max_frames must be at least 1, got {max_frames}")
    at_once = 1 if isinstance(source, int) else getattr(extractor, "at_once", 1)
    frames = islice(read_frames(source), max_frames)
    with shared_cores(at_once):
        for image, features in mapped(extractor, frames, at_once if at_once > 1 else 0, waiting=0):
            tracker.update(features)
            yield image
