"""``traqpoint localize``"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

from traqpoint.cli.common import ExtractorOptions, part, progress_bar
from traqpoint.matching.config import MatcherConfig
from traqpoint.sfm.config import MATCHER, LocalizeConfig


@dataclass(frozen=True, kw_only=True)
class Localize(ExtractorOptions, LocalizeConfig):
    """Where photographs were taken, in a COLMAP model that exists. A second run goes on where the first one stopped.

    Writes poses.txt (name qw qx qy qz tx ty tz, as hloc), poses.json (inliers, cameras, covariances) and report.html.
    """

    map: Path
    """COLMAP model, or the folder that sfm wrote, whose features are used again."""
    queries: tuple[Path, ...]
    """Image files, and folders of which all images below are taken."""
    out: Path
    """Folder for the results, features and matches."""
    images: Path | None = None
    """Folder that the model's image names start from; by default where its project.ini says, or images beside it."""
    matcher: MatcherConfig = dataclasses.field(default_factory=lambda: MATCHER)
    """How two images are matched."""
    overwrite: bool = False
    """Replace what other settings left in --out."""

    def run(self) -> int:
        from traqpoint.apps.localize import localize

        told = localize(
            self.map,
            self.queries,
            self.out,
            self.extractor(),
            self.images,
            self.matcher,
            part(self, LocalizeConfig),
            self.overwrite,
            progress_bar,
        )
        for note in told.notes:
            print(f"traqpoint: warning: {note}", file=sys.stderr)
        for name, reason in told.failed.items():
            print(f"traqpoint: warning: {name}: not located: {reason}", file=sys.stderr)
        count = len(told.located) + len(told.failed)
        print(f"{self.out / 'poses.txt'}: {len(told.located)} of {count} queries located")
        print(f"{self.out / 'report.html'}: queries among the map's cameras, each with what it rests on")
        return 0 if told.located else 1
