"""``traqpoint match``"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from traqpoint.cli.common import part, print_outcome, progress_bar
from traqpoint.distributed.config import EngineConfig
from traqpoint.errors import ConfigError
from traqpoint.inference.config import MatchFlowConfig, PairsConfig
from traqpoint.matching.config import MatcherConfig


@dataclass(frozen=True, kw_only=True)
class Match(PairsConfig, MatchFlowConfig, EngineConfig):
    """Match images that traqpoint extract has seen. Pairs that are done already are skipped."""

    features: tyro.conf.Positional[Path]
    """What extract wrote: a folder of npz files, an .h5 or a .db file."""
    out: Path | None = None
    """Folder or .h5 file; by default <features>-matches. A COLMAP database takes its own matches."""
    matcher: MatcherConfig = field(default_factory=MatcherConfig)
    """How two images are matched."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    overwrite: bool = False
    """Replace matches that another configuration left."""

    def run(self) -> int:
        if self.engine == "ray":
            return self._on_ray()
        from traqpoint.inference.pipeline import match_pairs

        with progress_bar("match") as progress:
            outcome = match_pairs(
                self.features,
                part(self, PairsConfig),
                self.out,
                self.matcher,
                self.device,
                self.overwrite,
                progress,
                part(self, MatchFlowConfig),
            )
        return print_outcome(outcome, "pairs")

    def _on_ray(self) -> int:
        if self.out is None or self.overwrite:
            raise ConfigError(
                "--engine ray needs --out, a folder for shards, and has no --overwrite: delete the folder"
            )
        from traqpoint.distributed.ray_engine import match_shards

        with progress_bar("match") as progress:
            config, engine = part(self, PairsConfig), part(self, EngineConfig)
            outcome = match_shards(
                str(self.features), config, str(self.out), self.matcher, self.device, engine, progress
            )
        return print_outcome(outcome, "pairs")
