"""``traqpoint eval localization``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from traqpoint.cli.evaluate import EvalOptions

if TYPE_CHECKING:
    from traqpoint.evaluation.methods.method import Method
    from traqpoint.evaluation.result import Result
    from traqpoint.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Localization(EvalOptions):
    """Pose of held-out images in a map of the others, at the thresholds of Aachen Day-Night."""

    model: tyro.conf.Positional[Path]
    """COLMAP model with the poses that count as true (SIFT's, mostly: good for SIFT)."""
    images: tyro.conf.Positional[Path]
    """Folder that the model's image names start from."""
    every: int = 8
    """Hold out every so-manyth image in order of names; the seed says where to begin."""
    neighbours: int = 20
    """Match each database image with the so many others that share most points of the model."""
    candidates: int = 20
    """Localize a query in the so many database images that it has most matches with."""
    max_error_px: float = 12.0
    """Reprojection error of an inlier."""
    metres_per_unit: float | None = None
    """Scale of the model; without it distances and their thresholds are in the model's own unit."""

    hloc: bool = False
    """Also write what hloc reads (features, matches, pairs, queries with intrinsics) to OUT/METHOD/hloc."""

    def run(self) -> int:
        from traqpoint.evaluation.benchmarks.localization import LocalizationConfig, evaluate_localization, hold_out
        from traqpoint.evaluation.predict import predict
        from traqpoint.io.colmap_model import read_model
        from traqpoint.sfm.hloc_export import export_hloc
        from traqpoint.sfm.verification import true_cameras

        config = LocalizationConfig(
            every=self.every,
            neighbours=self.neighbours,
            candidates=self.candidates,
            max_error_px=self.max_error_px,
            metres_per_unit=self.metres_per_unit,
            seed=self.seed,
        )
        model = read_model(self.model)
        split = hold_out(model, config)
        images = {name: self.images / name for name in model.images}
        dataset = self.images.absolute().parent.name

        def judge(method: Method, out: Path, progress: Progress) -> Result:
            pairs = [*split.map_pairs, *split.query_pairs]
            found = predict(images, pairs, method, out, self.matcher, self.missing, progress)
            if self.hloc:
                cameras = true_cameras({name: images[name] for name in split.queries}, model, found.features)
                export_hloc(out / "hloc", found.features, found.matches, split.map_pairs, split.query_pairs, cameras)
            return evaluate_localization(found, images, model, split, out, dataset, config, progress)

        self.evaluate(judge)
        return 0
