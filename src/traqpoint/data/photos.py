"""Photographs and frames of films in memory: what homography sequences and textures are made of."""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
from torch import Tensor

from traqpoint.data.config import DataConfig
from traqpoint.errors import DataError, ImageError
from traqpoint.image import list_images, read_image, resize_long_side, to_tensor
from traqpoint.io.video import read_frames

MAX_VIDEO_FRAMES = 300
"""Frames kept of one video, at even distances: neighbours show nearly the same."""
MAX_SIDE = 1280
"""Larger photos are shrunk to this many pixels when loaded: frames are smaller, and memory would fill."""


def load_photos(folder: str | Path, min_side: int = 64, limit: int | None = None, spread: bool = False) -> list[Tensor]:
    """All images below `folder` as uint8 (3, H, W) tensors of at most MAX_SIDE px, by path; `limit` of them at most.

    spread: those are taken at even distances in the folder, not from its beginning.
    Unreadable files and images with a side below `min_side` px are left out, with one warning that counts them.
    Raises DataError if none is left.
    """
    photos: list[Tensor] = []
    skipped: list[str] = []
    paths = list_images(folder)
    step = -(-len(paths) // limit) if limit and spread else 1
    for path in paths[::step][:limit]:
        try:
            image = read_image(path)
        except ImageError as error:
            skipped.append(str(error))
            continue
        if min(image.shape[:2]) >= min_side:
            photos.append(_stored(image))
        else:
            skipped.append(f"{path}: a side below {min_side} px")
    if skipped:
        warnings.warn(f"{len(skipped)} images left out, the first: {skipped[0]}", stacklevel=2)
    if not photos:
        raise DataError(f"{folder}: no readable image of at least {min_side} px")
    return photos


photos_once = lru_cache(maxsize=1)(load_photos)
"""For several sources of one mixture; who builds them clears it, or the photos stay in memory."""


def photos_of(data: DataConfig) -> list[Tensor]:
    """The photos that a mixture's sources are made of; none without a folder."""
    return [] if data.photos is None else photos_once(data.photos, limit=data.max_photos)


def load_video_frames(video: str | Path, limit: int = MAX_VIDEO_FRAMES) -> list[Tensor]:
    """At most `limit` frames of a video file or a folder of frames, as load_photos gives them.

    Raises ImageError if the file cannot be opened as a video, DataError for a folder without readable images.
    """
    if Path(video).is_dir():
        return load_photos(video, limit=limit, spread=True)
    frames: list[Tensor] = []
    step = 1
    for i, image in enumerate(read_frames(video)):
        if i % step:
            continue
        frames.append(_stored(image))
        if len(frames) > limit:  # how many come is not known before the last one
            frames, step = frames[::2], 2 * step
    return frames


def _stored(image: np.ndarray) -> Tensor:
    return (resize_long_side(to_tensor(image), MAX_SIDE) * 255).round().byte()
