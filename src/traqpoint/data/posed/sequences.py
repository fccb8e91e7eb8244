"""Posed frames become training sequences, chosen by how much they see of each other."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import torch

from traqpoint.data.posed.frames import FrameConfig, FrameSequences, PosedSet
from traqpoint.errors import ConfigError, DataError, TraqPointError
from traqpoint.types import Device, Frame

CANDIDATES = 64
"""Frames tried as neighbours of one frame before another reference is drawn."""


@dataclass(frozen=True, kw_only=True)
class PosedConfig(FrameConfig):
    """Which frames make a sequence."""

    num_frames: int = 5
    """Frames per sequence."""
    order: Literal["star", "chain"] = "star"
    """star: every target overlaps the first frame. chain: every frame overlaps the one before."""
    overlap: tuple[float, float] = (0.3, 0.8)
    """Least and most of a frame that its neighbour sees; the paper's three bands are data.source.CURRICULUM."""
    max_gap: int | None = None
    """Most places between neighbours in the set's order (frames, for a video); without it the whole set is searched."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_frames < 2:
            raise ConfigError(f"num_frames must be at least 2, got {self.num_frames}")
        if self.order not in ("star", "chain"):
            raise ConfigError(f"order must be star or chain, got {self.order!r}")
        check_band(self.overlap)
        if self.max_gap is not None and self.max_gap < 1:
            raise ConfigError(f"max_gap must be at least 1, got {self.max_gap}")


def check_band(band: tuple[float, float]) -> None:
    """Raise ConfigError unless 0 <= band[0] < band[1] <= 1."""
    if not 0 <= band[0] < band[1] <= 1:
        raise ConfigError(f"overlap must be an increasing range in [0, 1], got {band}")


class PosedSequences(FrameSequences):
    """Sequences from posed sets, by overlap; a set is drawn in proportion to its number of frames."""

    config: PosedConfig

    def __init__(self, sets: Sequence[PosedSet], config: PosedConfig | None = None, device: Device = "cpu") -> None:
        config = config or PosedConfig()
        super().__init__(config, device)
        self.sets = [s for s in sets if len(s) >= config.num_frames]
        if not self.sets:
            names = ", ".join(s.name for s in sets) or "no set given"
            raise DataError(f"{names}: no set has the {config.num_frames} frames of a sequence")
        self._sizes = torch.tensor([len(s) for s in self.sets], dtype=torch.float)

    def with_overlap(self, band: tuple[float, float]) -> PosedSequences:
        """The same source drawing from another band, frames in memory and skips shared: one step of a curriculum."""
        out = copy.copy(self)
        out.config = replace(self.config, overlap=band)
        return out

    def describe(self) -> str:
        low, high = self.config.overlap
        what = f"a {self.config.order} of {self.config.num_frames} frames with overlaps in [{low}, {high}]"
        return f"{', '.join(s.name for s in self.sets[:3])}: {what}"

    def draw(self, generator: torch.Generator) -> list[Frame] | None:
        frames = self.sets[int(torch.multinomial(self._sizes, 1, generator=generator))]
        chosen = [int(torch.randint(len(frames), (), generator=generator))]
        first = self.loader.load(frames, chosen[0])
        if first is None:
            return None
        loaded = [first]
        while len(loaded) < self.config.num_frames:
            neighbours = self._neighbours(frames, chosen, generator)
            wanted = 1 if self.config.order == "chain" else self.config.num_frames - 1
            found = list(islice(neighbours, wanted))
            if len(found) < wanted:
                return None
            chosen += [index for index, _ in found]
            loaded += [frame for _, frame in found]
        return loaded

    def candidates(self, frames: PosedSet, source: int) -> list[int]:
        """Frames that may overlap frame `source`: those within max_gap."""
        gap = self.config.max_gap or len(frames)
        return [i for i in range(max(0, source - gap), min(len(frames), source + gap + 1)) if i != source]

    def _neighbours(
        self, frames: PosedSet, chosen: list[int], generator: torch.Generator
    ) -> Iterator[tuple[int, Frame]]:
        """Frames, in random order, that overlap the last chosen one as asked, read one by one as they are taken."""
        source = chosen[-1]
        candidates = [i for i in self.candidates(frames, source) if i not in chosen]
        order = torch.randperm(len(candidates), generator=generator)[:CANDIDATES].tolist()
        low, high = self.config.overlap
        for target in (candidates[i] for i in order):
            if (frames.name, target) in self.loader.unreadable:
                continue
            try:
                share = frames.overlap(source, target)
            except TraqPointError as error:  # the source itself has been read: it is the target
                self.loader.skip(frames, target, error)
                continue
            if low <= share <= high and (frame := self.loader.load(frames, target)) is not None:
                yield target, frame
