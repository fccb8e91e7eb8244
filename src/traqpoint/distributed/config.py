"""Where work is done. Without torch or ray, so that the command line starts at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from traqpoint.errors import ConfigError


@dataclass(frozen=True)
class EngineConfig:
    """One process, or many on Ray, which write shards that `traqpoint merge` makes one."""

    engine: Literal["local", "ray"] = "local"
    """local: this process. ray: Ray Data, on this machine or a cluster (extra: ray), into a folder of shards."""
    address: str | None = None
    """ray: of a running cluster, as auto or ray://host:10001; by default one is started on this machine."""
    actors: int | None = None
    """ray: processes that hold the model, a core each, or a GPU each with --device cuda; by default one per core."""
    shard: int = 64
    """ray: images in a shard, which is one task and one file; pairs are eight times as many."""

    def __post_init__(self) -> None:
        if self.engine not in ("local", "ray"):
            raise ConfigError(f"engine {self.engine!r} is not one of local, ray")
        if self.actors is not None and self.actors < 1:
            raise ConfigError(f"actors must be at least 1, got {self.actors}")
        if self.shard < 1:
            raise ConfigError(f"shard must be at least 1 image, got {self.shard}")
