"""Structure from motion: what COLMAP makes of a method's features, and how far from the truth it is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from traqpoint.errors import DataError
from traqpoint.evaluation.benchmark import Benchmark
from traqpoint.inference.config import PairsConfig
from traqpoint.sfm.config import MappingConfig

if TYPE_CHECKING:
    import numpy as np

    from traqpoint.evaluation.predict import Predictions
    from traqpoint.evaluation.result import Result
    from traqpoint.inference.pairs import Pair
    from traqpoint.io.colmap_model import ColmapModel
    from traqpoint.progress import Progress

AUC_DEG = (1, 5, 10)
"""Degrees up to which errors of pairs count."""


@dataclass(frozen=True)
class Photos:
    """What is mapped: image files by name, the pairs that are matched, and the true model if it is known.

    Raises DataError if the truth has no pose of any image.
    """

    name: str
    images: Mapping[str, Path]
    pairs: Sequence[Pair]
    truth: ColmapModel | None = None

    def __post_init__(self) -> None:
        if self.truth is not None and not self.posed:
            raise DataError(
                f"the truth has no pose of any image: it knows {next(iter(self.truth.images), 'none')!r}, and "
                f"the images are called {next(iter(self.images), 'nothing')!r}"
            )

    @property
    def posed(self) -> list[str]:
        """Images with a true pose."""
        return [name for name in self.images if self.truth is not None and name in self.truth.images]


@dataclass(frozen=True, kw_only=True)
class SfmBenchmark(Benchmark, PairsConfig):
    """Structure from motion by COLMAP on any folder of images: the table of the ETH local-feature benchmark."""

    kind: ClassVar[str] = "sfm"
    sweep: ClassVar[str | None] = "mappers"

    images: Path
    """Folder of which all images below are taken; if it has a folder images, of that."""
    truth: Path | None = None
    """Known poses: a COLMAP model, or a scene of the Strecha benchmark; adds camera-centre and rotation errors."""
    known_cameras: bool = False
    """Give the truth's calibration to COLMAP and keep it, instead of having it estimated."""
    mappers: tuple[Literal["incremental", "global"], ...] = ("incremental",)
    """A table for each, from the same features and matches."""
    cameras: Literal["shared", "per-image"] = "shared"
    """shared: images of one size and EXIF focal length are one camera; per-image: each has its own."""
    limit: int | None = None
    """Only so many images: the one that shares most points of the true model with others, and those that share most
    with it."""

    @property
    def _folder(self) -> Path:
        """Of a scene as `eval pose` takes it, the images alone: not the masks and depth maps beside them."""
        return self.images / "images" if (self.images / "images").is_dir() else self.images

    @property
    def _name(self) -> str:
        folder = self._folder.absolute()
        return folder.parent.name if folder.name == "images" else folder.name

    @cached_property
    def data(self) -> Photos:
        from traqpoint.image import list_images
        from traqpoint.inference.pairs import Collection, select_pairs
        from traqpoint.sfm.truth import neighbourhood, read_truth

        folder = self._folder
        images = {path.relative_to(folder).as_posix(): path for path in list_images(folder)}
        truth = None if self.truth is None else read_truth(self.truth)
        if self.limit is not None:
            if truth is None:
                raise DataError("a limit needs a truth that knows which images see the same")
            truth = neighbourhood(truth, self.limit)
            images = {name: path for name, path in images.items() if name in truth.images}
        return Photos(self._name, images, select_pairs(Collection(list(images), images=images), self), truth)

    def inputs(self) -> tuple[Mapping[str, Path], Sequence[Pair]]:
        return self.data.images, self.data.pairs

    def score(
        self, found: Predictions, variant: str = "", out: Path | None = None, progress: Progress | None = None
    ) -> Result:
        """Map the predictions, and compare with the truth if there is one. out: gets the models.

        Images that are not registered lower `registered_share`, and are in no error: read both together. Raises
        DataError if known_cameras lacks the truth, or the truth lacks an image.
        """
        from traqpoint import optional
        from traqpoint.evaluation.result import Result
        from traqpoint.sfm.mapping import map_database
        from traqpoint.sfm.verification import build_database, true_cameras

        images, truth = self.data.images, self.data.truth
        if self.known_cameras and truth is None:
            raise DataError("known cameras need a truth to take them from")
        cameras = true_cameras(images, truth, found.features) if self.known_cameras and truth is not None else None
        mapper = next(name for name in self.mappers if variant in ("", name))
        # Verification as COLMAP has it: that is the protocol, whatever `traqpoint sfm` does.
        config = MappingConfig(
            mapper=mapper, cameras=self.cameras, seed=self.seed, num_threads=1, max_trials=10_000, min_inlier_ratio=0.0
        )
        with found.workplace(out) as (shared, own):
            database = shared / "database.db"  # mappers share the verified matches
            build_database(images, found.features, found.matches, self.data.pairs, database, config, cameras)
            mapped = map_database(database, images, own, config, self.known_cameras, progress=progress)
            model = mapped.model()
        stats = {**mapped.stats, "registered_share": mapped.stats["registered"] / len(images)}
        arrays: dict[str, np.ndarray] = {}
        notes = [*found.failed, *mapped.notes]
        protocol = {
            **found.protocol,
            "dataset": f"{self.data.name}, {len(images)} images",
            "pairs": len(self.data.pairs),
            "estimator": f"pycolmap {optional.load('pycolmap').__version__} {config.mapper} mapper, defaults",
            **dataclasses.asdict(config),
            "cameras": "known" if self.known_cameras else config.cameras,
        }
        if truth is not None:
            errors, arrays, lines = _errors(model, truth, self.data.posed)
            stats |= errors
            notes += lines
            protocol["alignment"] = "least squares: similarity of the camera centres, rotation of the camera rotations"
        return Result(self.kind, found.method, stats, arrays, protocol, tuple(notes))

    def draw(self, results: Sequence[Result], folder: Path, title: str) -> None:
        from traqpoint.viz.plots import plot_bars

        lengths = {result.method: [result.stats["mean_track_length"]] for result in results}
        plot_bars([""], lengths, folder / "plot.png", "observations per point", f"{self._name}, {title}")


def _errors(model: ColmapModel | None, truth: ColmapModel, posed: Sequence[str]) -> tuple[dict, dict, list[str]]:
    """(stats, arrays, notes) of the comparison with the truth."""
    import numpy as np

    from traqpoint.evaluation.metrics.auc import auc
    from traqpoint.evaluation.metrics.reconstruction import error_stats, pair_errors_deg, pose_errors

    errors = None if model is None else pose_errors(model, truth)
    pairwise = pair_errors_deg(model, truth, posed)
    areas = auc(pairwise.numpy(), AUC_DEG) if len(pairwise) else [math.nan] * len(AUC_DEG)
    stats = error_stats(errors) | {f"auc_{limit}": area for limit, area in zip(AUC_DEG, areas, strict=True)}
    if errors is None:
        return stats, {}, ["fewer than 3 images with a true pose are registered: no errors against the truth"]
    arrays = {"name": np.array(errors.names), "centre_error": errors.centre.numpy()}
    return stats, arrays | {"rotation_error_deg": errors.rotation.numpy()}, []
