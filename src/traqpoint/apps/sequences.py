"""A film or a folder of photographs as real training sequences: a COLMAP workspace that `--data.colmap` reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from traqpoint import optional
from traqpoint.apps.sfm import photos_to_model
from traqpoint.errors import DataError, ImageError
from traqpoint.files import claim, plain
from traqpoint.image import list_images, read_image, write_image
from traqpoint.inference.config import PairsConfig
from traqpoint.io.video import count_frames, read_frames
from traqpoint.matching.config import MatcherConfig, MutualConfig
from traqpoint.progress import Bar, no_bar
from traqpoint.sfm.config import MappingConfig
from traqpoint.sfm.mapping import Reconstruction
from traqpoint.types import Features

LONG_SIDE = 1024
"""Of the frames that are kept: training frames are cropped from them."""
WINDOW = 10
"""Frames of a film that each one is matched with: a film comes back to nothing."""


def real_sequences(
    source: Path,
    out: Path,
    extractor: Callable[[np.ndarray], Features],
    max_frames: int = 120,
    bar: Bar = no_bar,
) -> Reconstruction:
    """Make `out` a COLMAP workspace, ``images`` and ``sparse/0``, of a video file or a folder of photographs.

    Of a film, the sharpest frame of each of `max_frames` equal parts is kept. Photographs that cannot be read are told
    in the notes. What is finished of the same source is not done again. Raises DataError if fewer than three images
    fit together, ConfigError if `out` belongs to another source.
    """
    film = not source.is_dir()
    claim(out, out / "source.yaml", plain({"source": source.resolve(), "max_frames": max_frames}))
    folder, done = out / "images", out / "images.done"
    if not done.is_file():
        with bar("frames") as progress:
            kept = _film_frames(source, folder, max_frames, progress) if film else _photos(source, folder, progress)
        done.write_text("\n".join(kept))
    pairs = PairsConfig("sequential", WINDOW) if film else PairsConfig()
    matcher = MatcherConfig(mutual=MutualConfig(max_ratio=0.9))
    found = photos_to_model([folder], out, extractor, pairs, matcher, MappingConfig(), bar=bar)
    if found.path is None or found.stats["registered"] < 3:
        why = "; ".join(found.notes) or "no two images fit together"
        raise DataError(f"{source}: no sequences can be made of it ({why})")
    return found


def _photos(source: Path, folder: Path, progress: Callable[[int, int], None]) -> list[str]:
    paths = list_images(source)
    kept = []
    for number, path in enumerate(paths):
        progress(number + 1, len(paths))
        try:
            image = read_image(path)
        except ImageError:
            continue  # what is missing among the images is no sequence's frame
        kept.append(f"{number:05}-{path.stem}.jpg")
        write_image(folder / kept[-1], _shrunk(image))
    if not kept:
        raise DataError(f"{source}: none of {len(paths)} images can be read")
    return kept


def _film_frames(film: Path, folder: Path, max_frames: int, progress: Callable[[int, int], None]) -> list[str]:
    """The sharpest of each part, by the variance of its Laplacian."""
    total = count_frames(film) or 30 * max_frames
    part = max(1, total // max_frames)
    kept: list[str] = []
    best: tuple[float, str, np.ndarray] | None = None
    for number, image in enumerate(read_frames(film)):
        progress(number + 1, total)
        frame = _shrunk(image)
        sharpness = _sharpness(frame)
        if best is None or sharpness > best[0]:
            best = (sharpness, f"{number:06}.jpg", frame)
        if (number + 1) % part == 0:
            kept.append(_written(folder, best))
            best = None
    return [*kept, _written(folder, best)] if best is not None else kept


def _written(folder: Path, frame: tuple[float, str, np.ndarray]) -> str:
    write_image(folder / frame[1], frame[2])
    return frame[1]


def _sharpness(image: np.ndarray) -> float:
    cv2 = optional.load("cv2")
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())


def _shrunk(image: np.ndarray) -> np.ndarray:
    cv2 = optional.load("cv2")
    height, width = image.shape[:2]
    scale = LONG_SIDE / max(height, width)
    if scale >= 1:
        return image
    return cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
