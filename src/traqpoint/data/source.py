"""What the training loop asks of a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:  # the configurations stand on this file, and the command line's help on them
    import torch

    from traqpoint.types import DescribedPoints, SequenceBatch


class Source(Protocol):
    """An endless, seeded supply of sequences."""

    def sample(self, batch_size: int, generator: torch.Generator) -> SequenceBatch:
        """The next batch; everything random comes from `generator` (on the CPU)."""
        ...


Build = TypeVar("Build", bound=Callable[..., Source])
_NEEDS: dict[Any, tuple[str, ...]] = {}


def needs(*fields: str) -> Callable[[Build], Build]:
    """For what makes a source of a DataConfig: fields of it, such as ``rgbd.folders``, that must not be empty."""

    def mark(build: Build) -> Build:
        _NEEDS[build] = fields
        return build

    return mark


def needed(build: Any) -> tuple[str, ...]:
    """The fields that `needs` has named."""
    return _NEEDS.get(build, ())


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


Describe = Callable[[Sequence["torch.Tensor"]], list["DescribedPoints | None"]]
"""Photographs, uint8 (3, H, W) -> their points as teachers see them; None for one that cannot be described."""


def taught(source: Source, describe: Describe) -> Source:
    """The source with teachers' points in its batches; one without photographs of its own stays as it is."""
    return source.taught(describe) if hasattr(source, "taught") else source
