"""``traqpoint data megadepth-sequences``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

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
