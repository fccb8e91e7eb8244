"""What the track benchmark runs on: fixed lists of sequences with known geometry, from any source of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from traqpoint.data.config import HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.data.photos import load_photos
from traqpoint.data.posed.colmap import ColmapSet
from traqpoint.data.posed.frames import PosedSet
from traqpoint.data.worlds.config import WorldsConfig
from traqpoint.data.worlds.source import Worlds
from traqpoint.errors import ConfigError, DataError
from traqpoint.files import plain
from traqpoint.types import Frame, SequenceBatch

HOMOGRAPHIES: dict[str, Any] = {"image_size": 480, "zoom": (1.2, 1.6)}
"""Of the HomographyConfig: photos of 320 px are not blown up."""


@dataclass(frozen=True)
class TrackSet:
    """Sequences (batch size 1) that are the same whenever they are made, one at a time.

    make: number of a sequence -> the sequence. protocol: name, number of sequences, and what else identifies them.
    """

    count: int
    make: Callable[[int], SequenceBatch]
    protocol: dict[str, Any]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[str, SequenceBatch]]:
        """(name, sequence)."""
        return ((f"{i:04}", self.make(i)) for i in range(self.count))


def in_memory(name: str, sequences: list[SequenceBatch]) -> TrackSet:
    """Sequences (batch size 1) that are there already."""
    return _track_set(name, len(sequences), sequences.__getitem__, None)


def homography_set(
    photos: str | Path,
    config: HomographyConfig | None = None,
    limit: int | None = None,
    seed: int = 0,
    stride: int = 1,
) -> TrackSet:
    """One homography sequence per photo below `photos`: of every `stride`-th, or of `limit` of these, spread over all.

    Sequence i depends on the photo, `config` and `seed` alone. Raises DataError if there is no photo.
    """
    config = config or HomographyConfig(**HOMOGRAPHIES)
    _check(config.num_frames, 1, stride)
    pictures = load_photos(photos)
    every = range(0, len(pictures), stride)
    chosen = [every[i] for i in _spread(len(every), limit)]
    source = HomographySequences(pictures, config)

    def make(i: int) -> SequenceBatch:
        return source.render([chosen[i]], torch.Generator().manual_seed(seed * 100_003 + chosen[i]))

    details = {"seed": seed, **({} if stride == 1 else {"stride": stride})}
    return _track_set(f"homographies of {Path(photos).name}", len(chosen), make, config, **details)


def worlds_set(config: WorldsConfig | None = None, count: int = 50, seed: int = 0) -> TrackSet:
    """`count` rendered worlds with exact geometry; world i depends on `config`, `seed` and i alone.

    Raises ConfigError for a count below 1.
    """
    if count < 1:
        raise ConfigError(f"need at least 1 world, got {count}")
    worlds = Worlds(config or WorldsConfig())

    def make(i: int) -> SequenceBatch:
        return worlds.sample(1, torch.Generator().manual_seed(seed * 100_003 + i))

    return _track_set("worlds", count, make, worlds.config, seed=seed)


def window_set(
    frames: PosedSet,
    num_frames: int = 5,
    gap: int = 1,
    stride: int | None = None,
    first: int = 0,
    limit: int | None = None,
) -> TrackSet:
    """Windows of a posed video with depth: frames i, i + gap, … of full size.

    stride: frames between two windows' references; by default windows do not overlap. first: index of the first frame
    to use. limit: so many windows, spread over the video. Raises DataError if the video is too short.
    """
    _check(num_frames, gap, stride)
    span = (num_frames - 1) * gap
    starts = range(first, len(frames) - span, stride or span + gap)
    if not starts:
        raise DataError(
            f"{frames.name}: {len(frames) - first} frames from number {first} on are too few for a window of {span + 1}"
        )
    windows = [[start + k * gap for k in range(num_frames)] for start in starts]
    details = {"frames": num_frames, "gap": gap, "stride": stride or span + gap, "first": first}
    return _posed(frames, windows, limit, details)


def covisible_set(
    frames: ColmapSet,
    num_frames: int = 5,
    min_overlap: float = 0.3,
    stride: int = 1,
    limit: int | None = None,
) -> TrackSet:
    """Images of a reconstruction with others that see the same: for each `stride`-th image, num_frames - 1 of those
    that observe at least `min_overlap` of its points, spread evenly from the one with most to the one with least.

    References with too few such images are left out. Raises DataError if none is left.
    """
    _check(num_frames, 1, stride)
    lists = []
    for source in range(0, len(frames), stride):
        shares = frames.shares(source)
        order = shares.argsort(descending=True, stable=True).tolist()
        near = [i for i in order if i != source and shares[i] >= min_overlap]
        if len(near) >= num_frames - 1:
            lists.append([source, *(near[k] for k in _spread(len(near), num_frames - 1))])
    if not lists:
        raise DataError(f"{frames.name}: no image has {num_frames - 1} others that see {min_overlap:.0%} of its points")
    return _posed(frames, lists, limit, {"frames": num_frames, "min_overlap": min_overlap, "stride": stride})


def _posed(frames: PosedSet, lists: list[list[int]], limit: int | None, details: dict[str, Any]) -> TrackSet:
    lists = [lists[i] for i in _spread(len(lists), limit)]

    def make(i: int) -> SequenceBatch:
        chosen = [frames.frame(index) for index in lists[i]]
        _check_sizes(frames, lists[i], chosen)
        return SequenceBatch(torch.stack([frame.image for frame in chosen])[None], frames.geometry([chosen]))

    return _track_set(Path(frames.name).name, len(lists), make, None, **details, truth=frames.truth)


def _track_set(name: str, count: int, make: Callable[[int], SequenceBatch], config: Any, **details: Any) -> TrackSet:
    settings = {} if config is None else dataclasses.asdict(config)
    return TrackSet(count, make, {"dataset": {"name": name, "sequences": count, **plain({**settings, **details})}})


def _spread(size: int, count: int | None) -> list[int]:
    """`count` of the numbers below `size`, evenly from the first to the last; all of them if there are not so many."""
    if count is not None and count < 1:
        raise ConfigError(f"limit must be at least 1, got {count}")
    if count is None or count >= size:
        return list(range(size))
    return [round(k * (size - 1) / max(count - 1, 1)) for k in range(count)]


def _check(num_frames: int, gap: int, stride: int | None) -> None:
    if num_frames < 2 or gap < 1 or (stride is not None and stride < 1):
        raise ConfigError(f"need frames >= 2, gap >= 1 and stride >= 1, got {num_frames}, {gap}, {stride}")


def _check_sizes(frames: PosedSet, indices: list[int], chosen: list[Frame]) -> None:
    for index, frame in zip(indices, chosen, strict=True):
        if frame.image.shape != chosen[0].image.shape:
            size, first = (f"{f.image.shape[-1]}x{f.image.shape[-2]}" for f in (frame, chosen[0]))
            raise DataError(
                f"{frames.name}: {frames.names[index]} has {size} px and {frames.names[indices[0]]} {first}; "
                "frames of a sequence must have one size"
            )
