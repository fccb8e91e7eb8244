"""``traqpoint match``"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from traqpoint.cli.common import part, print_outcome, progress_bar
from traqpoint.inference.config import MatchFlowConfig, PairsConfig
from traqpoint.matching.config import MatcherConfig


@dataclass(frozen=True, kw_only=True)
class Match(PairsConfig, MatchFlowConfig):
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
