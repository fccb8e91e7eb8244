"""Relative pose: how often, and how exactly, matches give the true motion between two images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from traqpoint.errors import ConfigError
from traqpoint.evaluation.benchmark import PLACE, EstimatorBenchmark
from traqpoint.matching.config import MatcherConfig

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from traqpoint.data.testsets.pairs import PosePair, PosePairs
    from traqpoint.evaluation.predict import Predictions
    from traqpoint.evaluation.result import Result
    from traqpoint.inference.pairs import Pair
    from traqpoint.progress import Progress


@dataclass(frozen=True, kw_only=True)
class PoseBenchmark(EstimatorBenchmark):
    """Relative pose: AUC@5/10/20 degrees of the larger of rotation and translation error, one table per estimator.

    --preset traqpoint is the published protocol for MegaDepth-1500: 4096 keypoints at 1600 px, dual softmax.
    """

    kind: ClassVar[str] = "pose"
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "traqpoint": {"max_keypoints": 4096, "long_side": 1600, "matcher": MatcherConfig(method="dual-softmax")},
    }

    truth: Path
    """A text list in SuperGlue's format (ScanNet, YFCC), or a folder: MegaDepth's scene_info files, LoFTR's index of
    ScanNet-1500, a COLMAP model, a scene of the Strecha benchmark."""
    images: Path | None = None
    """Folder that image names start from; needed but for Strecha's scenes."""
    upright: Path | None = field(default=None, metadata=PLACE)
    """Lists in SuperGlue's format: folder for upright copies of images that lie on their side."""
    shuffles: int = 3
    """Estimate from so many random orders of the matches; the numbers are means over them."""
    precision_px: float = 3.0
    """A match is precise within this distance to the true epipolar geometry."""
    max_pairs: int | None = None
    """Only so many pairs, drawn at random by --seed."""
    min_shared: int = 100
    """COLMAP models: fewest 3D points that both images of a pair see."""
    max_shared: int | None = None
    """COLMAP models: most 3D points that both images of a pair see."""
    max_angle: float = 45.0
    """Strecha's scenes: largest angle in degrees between the viewing directions of a pair."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shuffles < 1:
            raise ConfigError(f"shuffles must be at least 1, got {self.shuffles}")
        if not self.precision_px > 0:
            raise ConfigError(f"precision_px must be positive, got {self.precision_px}")

    @cached_property
    def data(self) -> PosePairs:
        from traqpoint.data.testsets.pairs import sampled
        from traqpoint.data.testsets.read import read_pose_pairs

        shared = (self.min_shared, self.max_shared)
        pairs = read_pose_pairs(self.truth, self.images, self.missing, self.upright, shared, self.max_angle)
        return pairs if self.max_pairs is None else sampled(pairs, self.max_pairs, self.seed)

    def inputs(self) -> tuple[Mapping[str, Path], Sequence[Pair]]:
        return self.data.images, self.data.names

    def score(
        self, found: Predictions, variant: str = "", out: Path | None = None, progress: Progress | None = None
    ) -> Result:
        """stats: those of `pose_stats`. Pairs of unreadable images and failed estimates are infinite errors (RDD's
        published script counts them as 0).
        """
        import numpy as np
        import torch

        from traqpoint.evaluation.metrics.pose import pose_stats, score_pair
        from traqpoint.evaluation.result import Result
        from traqpoint.matching.verify import POSE_USUAL

        robust, scores, unreadable = self.robust(variant), [], 0
        for pair in self.data.pairs:
            matched = _matched(self.data, pair, found)
            unreadable += matched is None
            a, b = matched or (torch.zeros(0, 2, dtype=torch.float64),) * 2
            scores.append(score_pair(pair, a, b, robust, self.shuffles, self.precision_px, self.seed))
        names = ("rotation_deg", "translation_deg", "error_deg", "inliers", "precision", "matches")
        arrays = {name: np.array([getattr(score, name) for score in scores]) for name in names}
        for name in ("name_a", "name_b"):
            arrays[name] = np.array([getattr(pair, name) for pair in self.data.pairs])
        protocol = {
            "dataset": {"name": self.data.name, "pairs": len(self.data.pairs)},
            "estimator": dataclasses.asdict(robust.resolved(POSE_USUAL)),
            "shuffles": self.shuffles,
            "precision_px": self.precision_px,
            "seed": self.seed,
            **found.protocol,
        }
        notes = (*self.data.notes, *_notes(arrays, unreadable), *found.failed)
        return Result(self.kind, found.method, pose_stats(arrays), arrays, protocol, notes)

    def draw(self, results: Sequence[Result], folder: Path, title: str) -> None:
        from traqpoint.viz.plots import plot_cumulative_errors

        errors = {result.method: result.arrays["error_deg"].ravel() for result in results}
        plot_cumulative_errors(errors, folder / "plot.png", 20.0, "pose error in degrees", title)


def _matched(dataset: PosePairs, pair: PosePair, predictions: Predictions) -> tuple[Tensor, Tensor] | None:
    """Matched pinhole pixels (N, 2), (N, 2); None if an image of the pair could not be used."""
    found = predictions.pair(pair.name_a, pair.name_b)
    if found is None:
        return None
    *both, matches = found
    a, b = (
        dataset.pinhole_pixels(name, features.keypoints[matches.indices[:, side]], features.image_size)
        for side, (name, features) in enumerate(zip((pair.name_a, pair.name_b), both, strict=True))
    )
    return a, b


def _notes(arrays: Mapping[str, np.ndarray], unreadable: int) -> list[str]:
    total = len(arrays["error_deg"])
    estimates = int((arrays["error_deg"] == float("inf")).any(1).sum()) - unreadable
    still = int((arrays["precision"] != arrays["precision"]).sum())  # NaN
    lines = (
        (unreadable, "pairs count as failed because an image could not be used"),
        (estimates, "pairs gave no pose in at least one shuffle and count as infinite errors there"),
        (still, "pairs have no baseline: only their rotation is judged, and they have no precision"),
    )
    return [f"{count} of {total} {text}" for count, text in lines if count]
