"""What the training loop asks of a data set."""

from __future__ import annotations

from typing import Protocol

import torch

from traqpoint.types import SequenceBatch


class Source(Protocol):
    """An endless, seeded supply of sequences."""

    def sample(self, batch_size: int, generator: torch.Generator) -> SequenceBatch:
        """The next batch; everything random comes from `generator` (on the CPU)."""
        ...


CURRICULUM = ((0.5, 0.7), (0.3, 0.5), (0.1, 0.3))
"""Overlap bands of the paper: high, medium and low, in a third of the training each."""


def curriculum_band(progress: float) -> tuple[float, float]:
    """The band of CURRICULUM at `progress` in [0, 1] of a run."""
    return CURRICULUM[min(int(progress * len(CURRICULUM)), len(CURRICULUM) - 1)]


def at(source: Source, progress: float) -> Source:
    """The source for `progress` in [0, 1] of a run; a source that has no curriculum is the same throughout."""
    return source.at(progress) if hasattr(source, "at") else source


def unreadable(source: Source) -> dict[tuple[str, int], str]:
    """What a source that reads files could not read so far: (set, frame) -> why. Empty for sources that read none."""
    return getattr(source, "unreadable", {})
