"""Images by name: what they are called in a result, and reading them ahead."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import TypeVar

import numpy as np

from traqpoint.errors import DataError, ImageError
from traqpoint.image import expand_images, read_image
from traqpoint.inference.ahead import mapped

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
Size = tuple[int, int]
"""(W, H)"""
Item = TypeVar("Item")

MAX_WASTE = 1 / 8
"""Of a batch's pixels: what its padding may cost is less than what sharing a pass saves."""
OPEN_GROUPS = 3
"""Upright and wide photographs and one other size may take turns."""


def read_ahead(named: Sequence[tuple[str, Path]], workers: int = 2) -> Iterator[Read]:
    """Images in order; so many threads decode the next ones, two more than threads at most, while one is worked on.

    Without workers, each is decoded when it is asked for.
    """
    for (name, path), image in mapped(lambda named: _read(named[1]), named, workers):
        yield name, path, image


def in_groups(
    items: Iterable[Item],
    size_of: Callable[[Item], Size],
    pixels: float = inf,
    count: float = inf,
    waste: float = MAX_WASTE,
) -> Iterator[list[Item]]:
    """Lists of items that may share a forward pass, each padded to the greatest width and height among them.

    That is at most so many `pixels` in all, of which a share of `waste` may be padding, and at most `count` items; one
    item at least. Neighbours need not be alike: OPEN_GROUPS wait for more of their kind. size_of: (W, H); an item of no
    pixels is alone.
    """
    groups: list[list[Item]] = []
    for item in items:
        if 0 in size_of(item):
            yield [item]
            continue
        group = next((g for g in groups if _fit([size_of(i) for i in [*g, item]], pixels, waste)), None)
        if group is None:
            group = []
            groups.append(group)
        group.append(item)
        if len(group) >= count or not _fit([size_of(i) for i in [*group, group[0]]], pixels, waste):
            groups.remove(group)
            yield group
        elif len(groups) > OPEN_GROUPS:
            yield groups.pop(0)
    yield from groups


def _fit(sizes: Sequence[Size], pixels: float, waste: float) -> bool:
    used = sum(w * h for w, h in sizes)
    padded = len(sizes) * max(w for w, _ in sizes) * max(h for _, h in sizes)
    return padded <= pixels and padded - used <= waste * padded


def read_size(item: Read) -> Size:
    """(W, H); (0, 0) of what cannot be read."""
    return (0, 0) if isinstance(item[2], ImageError) else (item[2].shape[1], item[2].shape[0])


def _read(path: Path) -> np.ndarray | ImageError:
    try:
        return read_image(path)
    except ImageError as error:
        return error
