"""Posed frames become training sequences, chosen by how much they see of each other."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import torch

from traqpoint.data.posed.config import PosedConfig
from traqpoint.data.posed.frames import FrameSequences, PosedSet
from traqpoint.errors import DataError, TraqPointError
from traqpoint.types import Device, Frame, Geometry

CANDIDATES = 64
"""Frames tried as neighbours of one frame before another reference is drawn."""


class PosedSequences(FrameSequences):
    """Sequences from posed sets of one kind of geometry, by overlap; a set is drawn in proportion to its frames."""

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

    def geometry(self, batch: Sequence[Sequence[Frame]]) -> Geometry:
        return self.sets[0].geometry(batch)

    def _neighbours(
        self, frames: PosedSet, chosen: list[int], generator: torch.Generator
    ) -> Iterator[tuple[int, Frame]]:
        """Frames, in random order, that overlap the last chosen one as asked, read one by one as they are taken."""
        source, gap, (low, high) = chosen[-1], self.config.max_gap or len(frames), self.config.overlap
        candidates = [i for i in frames.candidates(source, (low, high)) if abs(i - source) <= gap and i not in chosen]
        order = torch.randperm(len(candidates), generator=generator)[:CANDIDATES].tolist()
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
