"""Frames from video files, webcams and folders, and video files from frames."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from traqpoint import optional
from traqpoint.errors import ImageError
from traqpoint.files import atomic
from traqpoint.image import IMAGE_SUFFIXES, list_images, read_image

_CODEC = "VP80"
"""VP8: browsers play it, OpenCV's wheels bring it, and it is written four times as fast as their VP9."""

_MAX_SIDE = 1280
"""Pixels of a written film's longer side: what a film is looked at in; writing costs by the pixel."""

FrameSource = str | Path | int | Iterable[str | Path | np.ndarray]
"""A video file, a webcam's index, a folder of images, or a list of image paths or uint8 (H, W, 3) RGB arrays."""

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mts", ".wmv"})
"""Of files that are taken for films where images would do, too."""


def read_frames(source: FrameSource) -> Iterator[np.ndarray]:
    """Frames as uint8 (H, W, 3) RGB; a folder's images in order of their paths.

    Raises ImageError if the source is missing, cannot be opened or has no frames, DataError for an empty folder.
    """
    if isinstance(source, (str, Path)):
        path = Path(source)
        if path.is_dir():
            source = list_images(path)
        elif not path.is_file():
            raise ImageError(f"{path}: no such video file or folder of images")
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            raise ImageError(f"{path}: one image is no video; give the folder of the frames")
        else:
            yield from _capture(str(path), str(path))
            return
    if isinstance(source, int):
        yield from _capture(source, f"webcam {source}")
        return
    count = 0
    for image in source:
        yield image if isinstance(image, np.ndarray) else read_image(image)
        count += 1
    if not count:
        raise ImageError("the list of frames is empty")


def frame_rate(source: FrameSource, default: float = 15.0) -> float:
    """Frames per second that a video file states; `default` for everything else."""
    if not isinstance(source, (str, Path)) or not Path(source).is_file():
        return default
    cv2 = optional.load("cv2")
    capture = cv2.VideoCapture(str(source))
    rate = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return rate if 1 <= rate <= 1000 else default


def count_frames(source: FrameSource) -> int | None:
    """How many frames to expect; None if that is not known (webcams, generators, some files)."""
    if isinstance(source, (str, Path)) and Path(source).is_dir():
        return len(list_images(source))
    if isinstance(source, (str, Path)) and Path(source).is_file():
        cv2 = optional.load("cv2")
        capture = cv2.VideoCapture(str(source))
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()
        return count if count > 0 else None
    return len(source) if isinstance(source, Sized) and not isinstance(source, (str, Path)) else None


def _capture(source: str | int, name: str) -> Iterator[np.ndarray]:
    cv2 = optional.load("cv2")
    capture = cv2.VideoCapture(source)
    try:
        if not capture.isOpened():
            why = "empty, damaged, or a codec that OpenCV lacks" if isinstance(source, str) else "none there, or in use"
            raise ImageError(f"{name}: cannot be opened as a video ({why})")
        found = 0
        while True:
            ok, frame = capture.read()
            if not ok:
                break
            found += 1
            yield np.ascontiguousarray(frame[..., ::-1])
        if not found:
            raise ImageError(f"{name}: the video has no readable frame")
        stated = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if found < 0.9 * stated:  # some containers only estimate it
            warnings.warn(f"{name}: only {found} of {stated} frames could be read", stacklevel=2)
    finally:
        capture.release()


class VideoWriter:
    """Write uint8 (H, W, 3) RGB frames into a WebM that browsers play; use as a context manager.

    The first frame's size holds for the whole video: 8 to 1280 pixels on a side, and even because codecs ask for
    that; frames of another size are fitted into it. The file appears under its name when the writer closes without an
    error. Raises ImageError if OpenCV cannot write it.
    """

    def __init__(self, path: str | Path, fps: float = 15.0) -> None:
        self.path = Path(path)
        self.fps = fps
        self._file = atomic(self.path)
        self._writer: Any = None
        self._size = (0, 0)

    def write(self, frame: np.ndarray) -> None:
        if self._writer is None:
            partial = self._file.__enter__()
            height, width = frame.shape[:2]
            scale = min(1.0, _MAX_SIDE / max(height, width))
            height, width = (max(8, round(side * scale)) for side in (height, width))  # below 6 no file can be read
            self._size = (width + width % 2, height + height % 2)
            self._writer = self._opened(partial)
        self._writer.write(np.ascontiguousarray(self._fitted(frame)[..., ::-1]))

    def _opened(self, partial: Path) -> Any:
        cv2 = optional.load("cv2")
        with _quiet_stderr():
            writer = cv2.VideoWriter(str(partial), cv2.VideoWriter.fourcc(*_CODEC), self.fps, self._size)
        if not writer.isOpened():
            raise ImageError(f"{self.path}: this OpenCV cannot write it (the suffix has to be .webm, the codec is VP8)")
        return writer

    def _fitted(self, frame: np.ndarray) -> np.ndarray:
        cv2 = optional.load("cv2")
        width, height = self._size
        scale = min(width / frame.shape[1], height / frame.shape[0])
        if abs(frame.shape[1] - width) > 1 or abs(frame.shape[0] - height) > 1:
            size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        frame = frame[:height, :width]
        below, right = height - frame.shape[0], width - frame.shape[1]
        mode = cv2.BORDER_REPLICATE if below <= 1 and right <= 1 else cv2.BORDER_CONSTANT
        return cv2.copyMakeBorder(frame, 0, below, 0, right, mode)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._writer is None:
            return
        self._writer.release()
        self._file.__exit__(kind, error, trace)


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Without what is printed past Python: FFmpeg complains of a WebM's VP8 tag and writes a good file."""
    with open(os.devnull, "w") as nothing:
        kept = os.dup(2)
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
