"""A film or a folder of photographs as real training sequences: a COLMAP workspace that `--data.colmap` reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from traqpoint.apps.film import film_pairs, sharp_frames, shrunk
from traqpoint.apps.sfm import photos_to_model
from traqpoint.errors import DataError, ImageError
from traqpoint.files import claim, plain
from traqpoint.image import list_images, read_image, write_image
from traqpoint.inference.config import PairsConfig
from traqpoint.matching.config import MatcherConfig, MutualConfig
from traqpoint.progress import Bar, no_bar
from traqpoint.sfm.config import MappingConfig
from traqpoint.sfm.mapping import Reconstruction
from traqpoint.types import Features

LONG_SIDE = 1024
"""Of the frames that are kept: training frames are cropped from them."""


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
            if film:
                kept = sharp_frames(source, folder, max_frames, progress, LONG_SIDE)
            else:
                kept = _photos(source, folder, progress)
        done.write_text("\n".join(kept))
    pairs = film_pairs() if film else PairsConfig()
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
        write_image(folder / kept[-1], shrunk(image, LONG_SIDE))
    if not kept:
        raise DataError(f"{source}: none of {len(paths)} images can be read")
    return kept
