"""``traqpoint track``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from traqpoint.cli.common import ExtractorOptions, part, progress_bar
from traqpoint.tracking.config import TrackerConfig


@dataclass(frozen=True, kw_only=True)
class Track(ExtractorOptions, TrackerConfig):
    """Track keypoints through a video; writes tracks.npz, tracks.png, tracks.mp4 and statistics.json."""

    source: tyro.conf.Positional[str]
    """Video file, folder of images, or a webcam's index (ended by Ctrl-C)."""
    out: Path
    """Folder for the results."""
    max_frames: int | None = None
    """Stop after this many frames."""
    trail_length: int = 30
    """How many frames of a track's past are drawn."""
    overwrite: bool = False
    """Replace what another configuration left in --out."""

    def run(self) -> int:
        from traqpoint.apps.track import track_to_folder

        webcam = self.source.isdigit() and not Path(self.source).exists()
        extractor = self.extractor()
        with progress_bar("track") as progress:
            statistics = track_to_folder(
                int(self.source) if webcam else self.source,
                self.out,
                extractor,
                part(self, TrackerConfig),
                max_frames=self.max_frames,
                trail_length=self.trail_length,
                overwrite=self.overwrite,
                progress=progress,
            )
        print(
            f"{self.out}: {statistics.num_tracks} tracks over {statistics.num_frames} frames, mean length "
            f"{statistics.mean_length:.2f}, longest {statistics.max_length}"
        )
        return 0
