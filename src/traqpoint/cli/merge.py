"""``traqpoint merge``"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from traqpoint.cli.common import progress_bar


@dataclass(frozen=True, kw_only=True)
class Merge:
    """Features and matches of many outputs in one: shards, npz folders, hloc files, COLMAP databases. What is in --out
    already stays, so the command may be repeated."""

    inputs: tyro.conf.Positional[tuple[Path, ...]]
    """Files, and folders of shards or npz files."""
    out: Path
    """Folder for npz files, or a file .h5 (hloc) or .db (COLMAP)."""
    format: str | None = None
    """npz, hloc or colmap. Without it the suffix of --out decides; a folder means npz."""
    matches: Path | None = None
    """Where matches go; by default <out>-matches. A COLMAP database takes them itself."""
    images: Path | None = None
    """The folder that was extracted: for a COLMAP database, focal lengths of EXIF."""

    def run(self) -> int:
        from traqpoint.inference.images import name_images
        from traqpoint.inference.merge import merge

        images = None if self.images is None else dict(name_images(self.images))
        with progress_bar("merge") as progress:
            merged = merge(self.inputs, self.out, self.format, self.matches, images, progress)
        for line in (*merged.failed, *merged.conflicts):
            print(f"traqpoint: error: {line}", file=sys.stderr)
        print(
            f"{merged.out}: {merged.images} images and {merged.pairs} pairs added, {merged.duplicates} there already, "
            f"{len(merged.conflicts)} in conflict, {len(merged.failed)} unreadable"
        )
        return 1 if merged.conflicts or merged.failed else 0
