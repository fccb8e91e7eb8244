"""``traqpoint view``, ``view matches`` and ``view scores``"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from traqpoint.cli.common import ExtractorOptions
from traqpoint.matching.config import MatcherConfig


@dataclass(frozen=True, kw_only=True)
class View:
    """A model, tracks or a path as a recording for Rerun's viewer (.rrd; extra viz3d), or as a picture."""

    source: tyro.conf.Positional[Path]
    """Folder of a COLMAP model, tracks.npz of track, or a path in TUM's or KITTI's format."""
    out: Path
    """A file .rrd, which `rerun FILE` opens; or, of tracks and paths, .png, .svg or .pdf."""
    frames: Path | None = None
    """The model's images, or the film or folder that the tracks are of."""
    frame: int | None = None
    """Of a picture of tracks; by default the frame that sees most of them."""

    def run(self) -> int:
        from traqpoint.apps.view import view

        view(self.source, self.out, self.frames, self.frame)
        print(self.out)
        return 0


@dataclass(frozen=True, kw_only=True)
class ViewMatches(ExtractorOptions):
    """A picture of the matches of two images, coloured by their confidence."""

    a: tyro.conf.Positional[Path]
    """Image file."""
    b: tyro.conf.Positional[Path]
    """Image file."""
    out: Path
    """Picture, .png, .svg or .pdf."""
    matcher: MatcherConfig = field(default_factory=MatcherConfig)
    """How the images are matched."""

    def run(self) -> int:
        from traqpoint.apps.view import view_matches

        found = view_matches(self.a, self.b, self.out, self.extractor(), self.matcher)
        print(f"{self.out}: {found} matches")
        return 0


@dataclass(frozen=True, kw_only=True)
class ViewScores(ExtractorOptions):
    """A picture of an image's keypoints, and of the score map that they were found in."""

    image: tyro.conf.Positional[Path]
    """Image file."""
    out: Path
    """Picture, .png, .svg or .pdf."""

    def run(self) -> int:
        from traqpoint.apps.view import view_scores

        found = view_scores(self.image, self.out, self.extractor())
        print(f"{self.out}: {found} keypoints")
        return 0
