"""``traqpoint extract``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from traqpoint.cli.common import ExtractorOptions, part, print_outcome, progress_bar
from traqpoint.inference.config import FlowConfig


@dataclass(frozen=True, kw_only=True)
class Extract(ExtractorOptions, FlowConfig):
    """Extract keypoints, scores and descriptors of images. Images that are done already are skipped."""

    images: tyro.conf.Positional[tuple[Path, ...]]
    """Image files, and folders of which all images below are taken."""
    out: Path
    """Folder for npz files, or a file .h5 (hloc) or .db (COLMAP)."""
    format: str | None = None
    """npz, hloc or colmap. Without it the suffix of --out decides; a folder means npz."""
    overwrite: bool = False
    """Replace what another configuration left in --out."""

    def run(self) -> int:
        from traqpoint.inference.pipeline import extract_folder

        extractor = self.extractor()
        with progress_bar("extract") as progress:
            outcome = extract_folder(
                self.images, self.out, extractor, self.format, self.overwrite, progress, part(self, FlowConfig)
            )
        return print_outcome(outcome, "images")
