"""Several sources as one."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from traqpoint.data.config import SOURCES, DataConfig
from traqpoint.data.photos import photos_once
from traqpoint.data.source import Describe, Source, at, taught, unreadable
from traqpoint.errors import ConfigError
from traqpoint.types import Device, SequenceBatch


def build_source(config: DataConfig, device: Device) -> Mixture:
    """The sequences that `config` describes, made on `device`. Raises what the sources raise that cannot be built."""
    try:
        return Mixture([(_built(name, config, device), weight) for name, weight in config.used.items()])
    finally:
        photos_once.cache_clear()


def _built(name: str, config: DataConfig, device: Device) -> Source:
    source = SOURCES[name](config, device)
    if not hasattr(source, "sample"):
        raise ConfigError(f"{name}: makes a {type(source).__name__}, which has no sample(batch_size, generator)")
    return source


class Mixture:
    """Each batch comes from one of the sources, drawn in proportion to its weight. sources: (source, weight > 0).

    One uniform number is drawn per batch and compared with the running sum of the weights, in the order given; a single
    source draws none.
    """

    def __init__(self, sources: Sequence[tuple[Source, float]]) -> None:
        if not sources or not all(weight > 0 for _, weight in sources):
            raise ConfigError("a mixture needs at least one source, and positive weights")
        self.sources = tuple(sources)

    @property
    def unreadable(self) -> dict[tuple[str, int], str]:
        """See data.source.unreadable."""
        return {key: why for source, _ in self.sources for key, why in unreadable(source).items()}

    def at(self, progress: float) -> Mixture:
        """See data.source.at."""
        return Mixture([(at(source, progress), weight) for source, weight in self.sources])

    def taught(self, describe: Describe) -> Mixture:
        """See data.source.taught."""
        return Mixture([(taught(source, describe), weight) for source, weight in self.sources])

    def sample(self, batch_size: int, generator: torch.Generator) -> SequenceBatch:
        return self._choose(generator).sample(batch_size, generator)

    def _choose(self, generator: torch.Generator) -> Source:
        if len(self.sources) > 1:
            position = float(torch.rand((), generator=generator)) * sum(weight for _, weight in self.sources)
            for source, weight in self.sources[:-1]:
                if position < weight:
                    return source
                position -= weight
        return self.sources[-1][0]
