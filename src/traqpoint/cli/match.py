"""``traqpoint match``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from traqpoint.cli.common import print_report, progress_bar


@dataclass(frozen=True, kw_only=True)
class Match:
    """Match images that traqpoint extract has seen. Pairs that are done already are skipped."""

    features: tyro.conf.Positional[Path]
    """What extract wrote: a folder of npz files, an .h5 or a .db file."""
    out: Path | None = None
    """Folder or .h5 file; by default <features>-matches. A COLMAP database takes its own matches."""
    pairs: str = "exhaustive"
    """exhaustive, sequential (in order of names), or a text file with two names per line."""
    window: int = 5
    """sequential: match each image with this many next ones."""
    method: Literal["mutual", "dual-softmax"] = "mutual"
    """Mutual nearest neighbours, or mutual maxima of the dual softmax."""
    max_ratio: float | None = None
    """mutual: nearest distance over second nearest, at most."""
    min_similarity: float | None = None
    """mutual: smallest cosine."""
    inverse_temperature: float = 20.0
    """dual-softmax: factor on the cosines."""
    min_probability: float = 0.01
    """dual-softmax: smallest probability."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    overwrite: bool = False
    """Replace matches that another configuration left."""

    def run(self) -> int:
        from traqpoint.inference.pairs import select_pairs
        from traqpoint.inference.pipeline import match_pairs
        from traqpoint.matching.config import MatcherConfig

        matcher = MatcherConfig(
            self.method, self.max_ratio, self.min_similarity, self.inverse_temperature, self.min_probability
        )
        with progress_bar("match") as progress:
            report = match_pairs(
                self.features,
                lambda names: select_pairs(self.pairs, names, self.window),
                self.out,
                matcher,
                self.device,
                self.overwrite,
                progress,
            )
        return print_report(report, "pairs")
