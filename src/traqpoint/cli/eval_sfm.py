"""``traqpoint eval sfm``"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from traqpoint.cli.evaluate import EvalOptions
from traqpoint.errors import ConfigError
from traqpoint.inference.config import PairsConfig

if TYPE_CHECKING:
    from traqpoint.evaluation.methods.method import Method
    from traqpoint.evaluation.result import Result
    from traqpoint.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Sfm(EvalOptions, PairsConfig):
    """Structure from motion by COLMAP on any folder of images: the table of the ETH local-feature benchmark."""

    images: tyro.conf.Positional[Path]
    """Folder of which all images below are taken."""
    truth: Path | None = None
    """Known poses: a COLMAP model, or a scene of the Strecha benchmark; adds camera-centre and rotation errors."""
    known_cameras: bool = False
    """Give the truth's calibration to COLMAP and keep it, instead of having it estimated."""
    mappers: tuple[Literal["incremental", "global"], ...] = ("incremental",)
    """A table for each, from the same features, matches and geometric verification."""
    cameras: Literal["shared", "per-image"] = "shared"
    """shared: images of one size and EXIF focal length are one camera; per-image: each has its own."""

    def run(self) -> int:
        from traqpoint.evaluation.benchmarks.sfm import evaluate_sfm, read_truth
        from traqpoint.evaluation.methods.method import label
        from traqpoint.evaluation.predict import predict
        from traqpoint.image import list_images
        from traqpoint.inference.pairs import select_pairs
        from traqpoint.sfm.config import MappingConfig

        images = {path.relative_to(self.images).as_posix(): path for path in list_images(self.images)}
        pairs = select_pairs(list(images), PairsConfig(self.pairs, self.window))
        truth = None if self.truth is None else read_truth(self.truth)
        folder = self.images.absolute()
        dataset = folder.parent.name if folder.name == "images" else folder.name
        if not self.mappers:
            raise ConfigError("at least one mapper is needed")
        for mapper in self.mappers:
            config = MappingConfig(mapper=mapper, cameras=self.cameras, seed=self.seed, num_threads=1)

            def judge(method: Method, out: Path, progress: Progress, config: MappingConfig = config) -> Result:
                shared = self.out / "predictions" / label(method)
                found = predict(images, pairs, method, shared, self.matcher, self.missing, progress)
                return evaluate_sfm(
                    found, images, pairs, out, dataset, shared / "database.db", config, truth, self.known_cameras
                )

            dataclasses.replace(self, out=self.out / mapper, mappers=(mapper,)).evaluate(judge)
        return 0
