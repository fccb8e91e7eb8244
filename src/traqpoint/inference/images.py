"""Images by name: what they are called in a result, and reading them ahead."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from traqpoint.errors import DataError, ImageError
from traqpoint.image import expand_images, read_image

Images = str | Path | Iterable[str | Path] | Mapping[str, Path]
"""Image files and folders, or name -> file."""


def name_images(images: Images) -> list[tuple[str, Path]]:
    """(name, path) of image files and folders; a name is the path from the folder given, or the common parent.

    A mapping name -> path is taken as it is. Raises DataError if there are no images, or a name would be written
    outside of the output.
    """
    if isinstance(images, Mapping):
        climbing = [name for name in images if Path(name).is_absolute() or ".." in Path(name).parts or not name]
        if climbing or not images:
            raise DataError(f"{climbing[0]!r} is no name for an image" if climbing else "no images given")
        return list(images.items())
    sources = [Path(images)] if isinstance(images, (str, Path)) else [Path(p) for p in images]
    # Without "..": a name that climbs would be written outside of the output.
    paths = {os.path.abspath(path): path.absolute() for path in expand_images(sources)}
    if len(sources) == 1 and sources[0].is_dir():
        root = os.path.abspath(sources[0])
    else:
        root = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [(Path(plain).relative_to(root).as_posix(), path) for plain, path in paths.items()]


Read = tuple[str, Path, np.ndarray | ImageError]
"""Name, file, and uint8 (H, W, 3) RGB, or why it cannot be read."""


def read_ahead(named: Sequence[tuple[str, Path]]) -> Iterator[Read]:
    """Images in order, the next ones being decoded while the current one is worked on."""
    pool = ThreadPoolExecutor(max_workers=2)
    try:
        rest = iter(named)
        waiting = [(name, path, pool.submit(_read, path)) for name, path in islice(rest, 4)]
        while waiting:
            name, path, image = waiting.pop(0)
            yield name, path, image.result()
            waiting += [(name, path, pool.submit(_read, path)) for name, path in islice(rest, 1)]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def in_groups(images: Iterable[Read], pixels: int) -> Iterator[list[Read]]:
    """Neighbours of equal size, at most so many `pixels` in all; one image at least. What cannot be read is alone."""
    group: list[Read] = []
    for item in images:
        shape = _shape(item)
        if group and shape != _shape(group[0]):
            yield group
            group = []
        group.append(item)
        if (len(group) + 1) * shape[0] * shape[1] > pixels or shape == (0, 0):
            yield group
            group = []
    if group:
        yield group


def _shape(item: Read) -> tuple[int, int]:
    """(H, W); (0, 0) of what cannot be read."""
    return (0, 0) if isinstance(item[2], ImageError) else (item[2].shape[0], item[2].shape[1])


def _read(path: Path) -> np.ndarray | ImageError:
    try:
        return read_image(path)
    except ImageError as error:
        return error
