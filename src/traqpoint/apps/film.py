"""Of a film, the frames that are worth a photograph: the sharpest of each part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from traqpoint import optional
from traqpoint.image import write_image
from traqpoint.inference.config import PairsConfig
from traqpoint.io.video import count_frames, read_frames
from traqpoint.progress import Progress

WINDOW = 10
"""Frames that each one is matched with, at least."""


def film_pairs(asked: PairsConfig | None = None) -> PairsConfig:
    """Neighbours, unless something else than the default is asked for: films come back to nothing."""
    asked = asked or PairsConfig()
    if asked.pairs != PairsConfig().pairs:
        return asked
    return replace(asked, pairs="sequential", window=max(WINDOW, asked.window))


def sharp_frames(
    film: Path, folder: Path, max_frames: int, progress: Progress, long_side: int | None = None
) -> list[str]:
    """Write the sharpest frame of each of about `max_frames` equal parts of a film into `folder`; their file names.

    Sharp is a high variance of the Laplacian. Files are called by the frame's number in the film. long_side: shrink
    larger frames to so many pixels. Raises ImageError if the film cannot be read.
    """
    total = count_frames(film) or 30 * max_frames
    part = max(1, total // max_frames)
    kept: list[str] = []
    best: tuple[float, str, np.ndarray] | None = None
    for number, image in enumerate(read_frames(film)):
        progress(number + 1, total)
        frame = image if long_side is None else shrunk(image, long_side)
        sharpness = _sharpness(frame)
        if best is None or sharpness > best[0]:
            best = (sharpness, f"{number:06}.jpg", frame)
        if (number + 1) % part == 0:
            kept.append(_written(folder, best))
            best = None
    return [*kept, _written(folder, best)] if best is not None else kept


def shrunk(image: np.ndarray, long_side: int) -> np.ndarray:
    """uint8 (H, W, 3) with a longer side of at most `long_side` pixels."""
    cv2 = optional.load("cv2")
    height, width = image.shape[:2]
    scale = long_side / max(height, width)
    if scale >= 1:
        return image
    return cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)


def _written(folder: Path, frame: tuple[float, str, np.ndarray]) -> str:
    write_image(folder / frame[1], frame[2])
    return frame[1]


def _sharpness(image: np.ndarray) -> float:
    cv2 = optional.load("cv2")
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())
