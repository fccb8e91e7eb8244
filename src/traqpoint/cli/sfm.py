"""``traqpoint sfm``"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from traqpoint.cli.common import ExtractorOptions, part, progress_bar
from traqpoint.inference.config import PairsConfig
from traqpoint.matching.config import MatcherConfig
from traqpoint.sfm.config import MATCHER, MappingConfig, PhotosConfig


@dataclass(frozen=True, kw_only=True)
class Sfm(ExtractorOptions, PairsConfig, MappingConfig, PhotosConfig):
    """A sparse COLMAP model from photos or a film: extract, match, verify, map. A second run goes on where the first
    one stopped."""

    images: tyro.conf.Positional[tuple[Path, ...]]
    """Image files, and folders of which all images below are taken; or one film."""
    out: Path
    """Folder for the models in sparse/0 (the largest), sparse/1, …, points.ply, features.h5, matches.h5, database.db
    and, of a film, its frames."""
    matcher: MatcherConfig = dataclasses.field(default_factory=lambda: MATCHER)
    """How two images are matched."""
    overwrite: bool = False
    """Replace what other settings left in --out."""

    def run(self) -> int:
        from traqpoint.apps.sfm import photos_to_model

        pairs, mapping, photos = part(self, PairsConfig), part(self, MappingConfig), part(self, PhotosConfig)
        found = photos_to_model(
            self.images,
            self.out,
            self.extractor(),
            pairs,
            self.matcher,
            mapping,
            photos,
            self.overwrite,
            progress_bar,
        )
        for note in found.notes:
            print(f"traqpoint: warning: {note}", file=sys.stderr)
        stats = found.stats
        line = f"{self.out if found.path is None else found.path}: {stats['registered']:.0f} of {stats['images']:.0f}"
        points = (
            f", {stats['points']:.0f} points, mean track length {stats['mean_track_length']:.2f}, reprojection error "
            f"{stats['reprojection_error_px']:.2f} px"
        )
        print(f"{line} images registered{points if found.path is not None else ''}")
        print(f"{self.out / 'report.html'}: cameras and points to turn, each image with what became of it")
        return 0 if found.path is not None else 1
