"""Which pairs of images to match."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from traqpoint.errors import ConfigError, DataError, FormatError
from traqpoint.inference.config import PAIRS, PairsConfig
from traqpoint.inference.global_descriptors import global_descriptors
from traqpoint.inference.places import places_of
from traqpoint.io.stores import FeatureReader
from traqpoint.retrieval.neighbours import nearest

Pair = tuple[str, str]


@dataclass(frozen=True)
class Collection:
    """What pairs are chosen from: names in order; the images' features and files, where they are known."""

    names: Sequence[str]
    features: FeatureReader | None = None
    images: Mapping[str, Path] = field(default_factory=dict)


def exhaustive_pairs(names: Sequence[str]) -> list[Pair]:
    """Every image with every later one."""
    return list(combinations(names, 2))


def sequential_pairs(names: Sequence[str], window: int = 5, quadratic: bool = False) -> list[Pair]:
    """Every image with each of the next `window` images; quadratic: and with those 2^j ahead, j < window (COLMAP's)."""
    PairsConfig(window=window)  # checks the range
    steps = sorted({*range(1, window + 1), *(2**j for j in range(window) if quadratic)})
    return [(a, names[i + step]) for i, a in enumerate(names) for step in steps if i + step < len(names)]


def read_pairs(path: str | Path) -> list[Pair]:
    """Pairs of a text file, ``name name`` per line; empty lines and lines that start with # are skipped.

    Raises FormatError naming the file and the line, DataError if there is no pair.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = f"neither one of {', '.join(PAIRS)} nor a list of pairs" if Path(path).name == str(path) else ""
        raise FormatError(f"{path}: {reason or 'cannot be read as a list of pairs'} ({error})") from None
    pairs = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2:
            raise FormatError(f"{path}:{number}: expected two image names, got {len(words)} words")
        pairs.append((words[0], words[1]))
    if not pairs:
        raise DataError(f"{path}: no pairs in this file")
    return pairs


def select_pairs(collection: Collection | Sequence[str], config: PairsConfig) -> list[Pair]:
    """The pairs that the configuration asks for; those of a text file are taken as they are.

    Raises ConfigError if the choice needs what the collection does not have: features, or places.
    """
    if not isinstance(collection, Collection):
        collection = Collection(collection)
    if config.pairs in PAIRS:
        return PAIRS[config.pairs](collection, config)
    return read_pairs(config.pairs)


def exhaustive(collection: Collection, config: PairsConfig) -> list[Pair]:
    """See `exhaustive_pairs`."""
    return exhaustive_pairs(collection.names)


def sequential(collection: Collection, config: PairsConfig) -> list[Pair]:
    """See `sequential_pairs`."""
    return sequential_pairs(collection.names, config.window, config.quadratic)


def loop(collection: Collection, config: PairsConfig) -> list[Pair]:
    """Sequential, and every `loop_every`-th image with those that look like it beyond its window."""
    near = _neighbours(_described(collection), config.neighbours + 2 * config.window)
    found = []
    for i in range(0, len(near), config.loop_every):
        beyond = [j for j in near[i].tolist() if j >= 0 and abs(i - j) > config.window][: config.neighbours]
        found += [(min(i, j), max(i, j)) for j in beyond]
    return without_repeats([*sequential(collection, config), *_named(collection, found)])


def retrieval(collection: Collection, config: PairsConfig) -> list[Pair]:
    """Images that look alike."""
    return _with_neighbours(collection, _described(collection), config)


def poses(collection: Collection, config: PairsConfig) -> list[Pair]:
    """Images that were taken near each other, looking the same way where poses tell that.

    Warns of images whose place is unknown: they are in no pair. Raises DataError if that is so of all.
    """
    known = places_of(collection.images, config.poses)
    size = len(next(iter(known.values()), ()))
    points = torch.stack([known.get(name, torch.full((size,), torch.nan)) for name in collection.names])
    unknown = [name for name in collection.names if name not in known]
    if len(unknown) == len(points):
        raise DataError(f"{config.poses or 'EXIF'}: no place of any of {len(unknown)} images, {unknown[0]} for one")
    if unknown:
        warnings.warn(
            f"{len(unknown)} of {len(points)} images have no place and are matched with none: {unknown[0]}",
            stacklevel=2,
        )
    return _with_neighbours(collection, points, config)


def without_repeats(pairs: Iterable[Pair]) -> list[Pair]:
    """Each pair once, whichever way round it comes first, and no image with itself."""
    seen: dict[frozenset[str], Pair] = {}
    for a, b in pairs:
        if a != b:
            seen.setdefault(frozenset((a, b)), (a, b))
    return list(seen.values())


def _described(collection: Collection) -> Tensor:
    if collection.features is None:
        raise ConfigError(
            "pairs of images that look alike are chosen by their features: extract and match can, eval not"
        )
    points = global_descriptors(collection.features, collection.names)
    return points.masked_fill(~points.any(1, keepdim=True), torch.nan)


def _with_neighbours(collection: Collection, points: Tensor, config: PairsConfig) -> list[Pair]:
    """The nearest pairs, `neighbours` for each image: first everyone's nearest, then the second, and so on.

    Two that are near each other are one pair: each image has that many of its own, and is in about twice as many.
    """
    near = _neighbours(points, 2 * config.neighbours)
    found: dict[tuple[int, int], None] = {}
    for column in near.T.tolist():
        for i, j in enumerate(column):
            if j >= 0 and len(found) < config.neighbours * len(points):
                found.setdefault((min(i, j), max(i, j)))
    return _named(collection, sorted(found))


def _neighbours(points: Tensor, count: int) -> Tensor:
    """As `nearest`; an image of which nothing is known, NaN, has no neighbours and is nobody's."""
    known = points.isfinite().all(1).nonzero().squeeze(1)
    found = torch.full((len(points), count), -1)
    near = nearest(points[known], count)
    found[known] = torch.where(near < 0, -1, known[near])
    return found


def _named(collection: Collection, pairs: Iterable[tuple[int, int]]) -> list[Pair]:
    return [(collection.names[i], collection.names[j]) for i, j in pairs]
