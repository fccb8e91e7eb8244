"""``traqpoint track``"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import tyro

from traqpoint.cli.common import ExtractorOptions, one_source, open_window, part, progress_bar
from traqpoint.tracking.config import TrackerConfig


@dataclass(frozen=True, kw_only=True)
class Track(ExtractorOptions, TrackerConfig):
    """Track keypoints through a video; shows it with trails, or writes tracks.npz, tracks.png, tracks.webm and
    statistics.json."""

    source: tyro.conf.Positional[str | None] = None
    """Video file, or folder of images."""
    camera: int | None = None
    """Index of a webcam instead, 0 is the first. Ended by Ctrl-C, or by q in its window."""
    out: Path | None = None
    """Folder for the results; only with --show it may be left out."""
    show: bool = False
    """Open a window."""
    max_frames: int | None = None
    """Stop after this many frames."""
    trail_length: int = 30
    """How many frames of a track's past are drawn."""
    min_drawn: int = 4
    """Tracks of fewer frames are not drawn; tracks.npz has them all."""
    overwrite: bool = False
    """Replace what another configuration left in --out."""

    def run(self) -> int:
        from traqpoint.apps.track import track_to_folder, watch

        source = one_source("track", self.source, self.camera)
        window = open_window(self.show, f"traqpoint {source}", None if self.out is None else self.out / "tracks.webm")
        extractor, tracker, trail = self.extractor(), part(self, TrackerConfig), self.trail_length
        with window or nullcontext(), progress_bar("track") as bar:
            show = None if window is None else window.show
            if self.out is not None:
                statistics = track_to_folder(
                    source,
                    self.out,
                    extractor,
                    tracker,
                    max_frames=self.max_frames,
                    trail_length=trail,
                    min_drawn=self.min_drawn,
                    overwrite=self.overwrite,
                    progress=bar,
                    show=show,
                )
            elif show is not None:
                statistics = watch(
                    source,
                    extractor,
                    show,
                    tracker,
                    max_frames=self.max_frames,
                    trail_length=trail,
                    min_drawn=self.min_drawn,
                    progress=bar,
                )
        print(
            f"{self.out or source}: {statistics.num_tracks} tracks over {statistics.num_frames} frames, mean length "
            f"{statistics.mean_length:.2f}, longest {statistics.max_length}"
        )
        return 0
