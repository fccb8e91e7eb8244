"""``traqpoint extract``"""

from __future__ import annotations

from dataclasses import dataclass

import tyro

from traqpoint.cli.common import ExtractorOptions, part, print_outcome, progress_bar
from traqpoint.distributed.config import EngineConfig
from traqpoint.errors import ConfigError
from traqpoint.inference.config import ExtractorConfig, FlowConfig


@dataclass(frozen=True, kw_only=True)
class Extract(ExtractorOptions, FlowConfig, EngineConfig):
    """Extract keypoints, scores and descriptors of images. Images that are done already are skipped."""

    images: tyro.conf.Positional[tuple[str, ...]]
    """Image files, and folders of which all images below are taken. With --engine ray also URLs and lists (.txt)."""
    out: str
    """Folder for npz files, or a file .h5 (hloc) or .db (COLMAP). With --engine ray a folder or URL of shards."""
    format: str | None = None
    """npz, hloc or colmap. Without it the suffix of --out decides; a folder means npz."""
    overwrite: bool = False
    """Replace what another configuration left in --out."""

    def run(self) -> int:
        if self.engine == "ray":
            return self._on_ray()
        from traqpoint.inference.pipeline import extract_folder

        extractor = self.extractor()
        with progress_bar("extract") as progress:
            outcome = extract_folder(
                self.images, self.out, extractor, self.format, self.overwrite, progress, part(self, FlowConfig)
            )
        return print_outcome(outcome, "images")

    def _on_ray(self) -> int:
        if self.format is not None or self.overwrite:
            raise ConfigError("--engine ray writes shards of its own: --format and --overwrite are merge's affair")
        from traqpoint.distributed.ray_engine import extract_shards

        with progress_bar("extract") as progress:
            config, engine = part(self, ExtractorConfig), part(self, EngineConfig)
            outcome = extract_shards(self.images, self.out, config, engine, progress)
        return print_outcome(outcome, "images")
