"""A film of an odometry: what each frame shares with those before, and the camera on its path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from traqpoint.apps.live import Show
from traqpoint.data.testsets.odometry import OdometrySequence
from traqpoint.errors import ImageError
from traqpoint.geometry.orientation import stored_image
from traqpoint.geometry.transforms import invert_rigid
from traqpoint.image import read_image, read_orientation
from traqpoint.io.video import VideoWriter
from traqpoint.odometry.path import Odometry
from traqpoint.progress import Progress
from traqpoint.tracking.build import build_tracks
from traqpoint.types import Features, Matches
from traqpoint.viz.draw import draw_trails
from traqpoint.viz.inset import draw_path

TRAIL = 15
"""Frames of a track's past that are drawn; one that lives so long is red."""
_MIN_DRAWN = 3
"""Frames that a track must have: two may agree with a motion by chance."""
_NOTHING = Features(torch.empty(0, 2), torch.empty(0), torch.empty(0, 0), (1, 1))

Read = Callable[[int], Features | None]
"""The features of a frame, by its number."""


def with_path(
    image: np.ndarray, frame: int, read: Read, verified: Mapping[tuple[int, int], Matches], poses: Tensor, lost: bool
) -> np.ndarray:
    """`image`, uint8 (H, W, 3), the frame of that number, with its tracks, coloured by length, and the path.

    verified: what `Odometry` says. poses: (N, 4, 4) cam_from_world, those after `frame` included if they are known.
    """
    first = max(0, frame + 1 - TRAIL)
    recent = {
        (a - first, b - first): found for (a, b), found in verified.items() if first <= min(a, b) and max(a, b) <= frame
    }
    features = [read(number) or _NOTHING for number in range(first, frame + 1)]
    tracks = build_tracks(features, recent)
    world_from_cam = invert_rigid(poses)
    picture = draw_trails(image, tracks, frame - first, TRAIL, _MIN_DRAWN)
    return draw_path(picture, world_from_cam[:, :3, 3].numpy(), frame, world_from_cam[frame, :3, 2].numpy(), lost)


def write_path_film(
    file: Path | None,
    sequence: OdometrySequence,
    path: Odometry,
    read: Read,
    fps: float,
    show: Show | None = None,
    progress: Progress | None = None,
) -> None:
    """The film of a path that is known, into `file` if one is given, and on the screen until `show` has enough."""
    poses, lost = path.trajectory.cam_from_world, path.lost.tolist()
    with VideoWriter(file, fps) if file is not None else nullcontext() as video:
        for frame, image in enumerate(sequence.images.values()):
            try:
                pixels = stored_image(read_image(image), read_orientation(image))
            except ImageError:  # which the path has told already
                continue
            drawn = with_path(pixels, frame, read, path.verified, poses, lost[frame])
            if video is not None:
                video.write(drawn)
            if show is not None and not show(drawn):
                show = None
            if video is show is None:
                break
            if progress is not None:
                progress(frame + 1, len(lost))
