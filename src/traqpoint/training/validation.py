"""How good a model is while it trains: tracks on photographs and poses in scenes that it does not learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from statistics import fmean

import torch
from torch import Tensor

from traqpoint.evaluation.benchmark import Benchmark
from traqpoint.evaluation.benchmarks.pose import PoseBenchmark
from traqpoint.evaluation.benchmarks.track_sets import in_memory
from traqpoint.evaluation.benchmarks.tracks import TracksBenchmark
from traqpoint.evaluation.methods.method import Method
from traqpoint.evaluation.methods.peer import Peer, PeerConfig, Raw
from traqpoint.geometry.pixels import opencv_from_colmap
from traqpoint.inference.extractor import Extractor
from traqpoint.inference.teachers.ours import OurTeacher
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.training.config import ValidationConfig
from traqpoint.types import Device, Features

MethodOf = Callable[[TraqPoint, Benchmark], Method]
"""(model in training, what it is judged on) -> keypoints and descriptors of it."""


class Validation:
    """Benchmarks whose data are read and rendered once, before the first step, and that judge often.

    Raises what reading them raises, and ConfigError or WeightsError for keypoints that cannot be had.
    """

    def __init__(self, config: ValidationConfig, method: MethodOf) -> None:
        self._method = method
        self._tracks: list[Benchmark] = []
        if config.photos is not None:
            tracks = TracksBenchmark(
                photos=config.photos,
                max_keypoints=config.max_keypoints,
                limit=config.limit,
                difficulty=config.difficulty,
            )
            self._tracks = [tracks.on(in_memory("photos", [sequence for _, sequence in tracks.data]))]
        self._poses = [
            PoseBenchmark(
                truth=scene,
                images=config.images,
                estimators=(config.estimator,),
                shuffles=1,
                max_pairs=config.max_pairs,
                max_keypoints=config.max_keypoints,
                long_side=config.long_side,
            )
            for scene in config.scenes
        ]
        for poses in self._poses:
            poses.inputs()  # a wrong path is told now

    def __call__(self, model: TraqPoint) -> dict[str, float]:
        """val_completeness and val_precision of tracks, val_auc_5 of poses, and val_score, the mean of completeness and
        AUC: what there are data for, each in [0, 1]."""
        out: dict[str, float] = {}
        for benchmark in self._tracks:
            stats = benchmark.judge(self._method(model, benchmark)).stats
            out |= {f"val_{name}": stats[name] for name in ("completeness", "precision")}
        if self._poses:
            found = [benchmark.judge(self._method(model, benchmark)).stats["auc_5"] for benchmark in self._poses]
            out["val_auc_5"] = fmean(found)
        return out | {"val_score": fmean(out[key] for key in ("val_completeness", "val_auc_5") if key in out)}


def whole(device: Device) -> MethodOf:
    """Its own keypoints, whatever their prominence: blunt policies have none."""

    def method(model: TraqPoint, benchmark: Benchmark) -> Method:
        limits = {"max_keypoints": benchmark.max_keypoints, "long_side": benchmark.long_side}
        return Extractor(_copied(model), prominence=0.0, device=str(device), **limits)

    return method


def at_keypoints_of(weights: str, max_keypoints: int, device: Device) -> MethodOf:
    """Its descriptors at the keypoints of other weights, which are found once in each image."""
    known: dict[bytes, Features] = {}

    @cache
    def extractor() -> Extractor:
        return Extractor(weights, max_keypoints=max_keypoints, device=str(device))

    def method(model: TraqPoint, benchmark: Benchmark) -> Method:
        describer = OurTeacher(_copied(model), device)

        @torch.inference_mode()
        def found(image: Tensor) -> Raw:
            key = hashlib.blake2b(image.contiguous().numpy().tobytes(), digest_size=16).digest()
            if key not in known:
                known[key] = extractor()(image)
            xy = known[key].keypoints
            return Raw(opencv_from_colmap(xy), known[key].scores, describer.describe(image, xy))

        config = PeerConfig("in training", benchmark.max_keypoints, benchmark.long_side, f"keypoints of {weights}")
        return Peer(config, found, model)

    return method


def _copied(model: TraqPoint) -> TraqPoint:
    """Weights alone: what torch.compile has hung into the networks belongs to those that train."""
    copy = TraqPoint(model.config)
    copy.load_state_dict(model.state_dict())
    return copy.eval()
