"""``traqpoint data megadepth-sequences`` and ``traqpoint data sequences``"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from traqpoint.cli.common import ExtractorOptions
from traqpoint.data.posed.config import IndexConfig


@dataclass(frozen=True, kw_only=True)
class MegaDepthSequences(IndexConfig):
    """Choose training sequences of MegaDepth by overlap. Scenes that benchmarks test on are left out."""

    root: tyro.conf.Positional[Path]
    """Folder with Undistorted_SfM and megadepth_indices."""
    out: Path
    """Index file to write, .npz."""
    scene_info: Path | None = None
    """Folder of the scene_info files; without it megadepth_indices/scene_info_0.1_0.7 in the root."""
    scenes: tuple[str, ...] = ()
    """Only these scenes, such as 0001 0003."""

    def run(self) -> int:
        from traqpoint.cli.common import progress_bar
        from traqpoint.data.posed.megadepth_index import (
            SCENE_INFO_FOLDER,
            build_sequences,
            find_scenes,
            read_scene,
            write_index,
        )

        found = find_scenes(self.scene_info or self.root / SCENE_INFO_FOLDER, self.scenes)
        with progress_bar("scenes") as progress:
            read = []
            for i, files in enumerate(found.values()):
                read.append(read_scene(files))
                progress(i + 1, len(found))
        index = build_sequences(read, self)
        write_index(self.out, index)
        print(f"{self.out}: {len(index.sequences)} sequences, {len(index.images)} frames, {len(found)} scenes")
        return 0


@dataclass(frozen=True, kw_only=True)
class Sequences(ExtractorOptions):
    """Real training sequences from films and folders of photographs: each is reconstructed and becomes a COLMAP
    workspace for `train … --data.colmap.workspaces`. What is finished is not done again."""

    sources: tyro.conf.Positional[tuple[Path, ...]]
    """Video files, and folders of photographs of one place each."""
    out: Path
    """Folder that gets a workspace for each source, of its name."""
    max_frames: int = 120
    """Frames kept of a film: the sharpest of so many equal parts."""

    def run(self) -> int:
        from traqpoint.apps.sequences import real_sequences
        from traqpoint.cli.common import progress_bar
        from traqpoint.errors import DataError, TraqPointError

        names = [source.stem if source.is_file() else source.resolve().name for source in self.sources]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"two sources are called {twice}: rename one, its workspace gets that name")
        extractor, made = self.extractor(), []
        for source, name in zip(self.sources, names, strict=True):
            try:
                found = real_sequences(source, self.out / name, extractor, self.max_frames, progress_bar)
            except TraqPointError as error:  # the other sources may be good
                print(f"traqpoint: {error}", file=sys.stderr)
                continue
            made.append(self.out / name)
            stats = found.stats
            print(
                f"{self.out / name}: {stats['registered']:.0f} of {stats['images']:.0f} images, "
                f"{stats['points']:.0f} points, {stats['reprojection_error_px']:.2f} px"
            )
        if made:
            print(f"train on them: --data.mixture colmap 1 --data.colmap.workspaces {' '.join(map(str, made))}")
        return 0 if len(made) == len(self.sources) else 1
