"""Whether a file finds what the network finds: keypoints and descriptors on one rendered picture, beside PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.data.worlds.textures import procedural_textures
from traqpoint.export.config import ExportConfig
from traqpoint.export.kinds import inputs_of
from traqpoint.geometry.sampling import sample_descriptors
from traqpoint.image import pad_to_multiple
from traqpoint.inference.extractor import Extractor
from traqpoint.inference.runtimes.graph import NETWORK
from traqpoint.models.detect import detect
from traqpoint.models.traqpoint import TraqPoint

NEAR_PX, LEAST_SHARE, LEAST_COSINE = 0.05, 0.999, 0.999

_DETECTION = ("max_keypoints", "nms_radius", "prominence", "border", "long_side", "device")

Run = Callable[[Mapping[str, Tensor]], list[Tensor]]
"""Inputs by name -> outputs in their order."""


@dataclass(frozen=True)
class Agreement:
    """Of the network's keypoints in a file's."""

    keypoints: int
    share: float
    """Of them that have one within NEAR_PX."""
    cosine: float
    """The smallest between descriptors of those."""

    @property
    def holds(self) -> bool:
        """Whether both are as near as a file must come."""
        return self.share >= LEAST_SHARE and self.cosine >= LEAST_COSINE

    def __str__(self) -> str:
        return (
            f"{self.share:.2%} of {self.keypoints} keypoints within {NEAR_PX} px, smallest cosine of their descriptors "
            f"{self.cosine:.4f}"
        )


def compare(xy: Tensor, descriptors: Tensor, found_xy: Tensor, found_descriptors: Tensor) -> Agreement:
    """Of keypoints (N, 2) with descriptors (N, D) in others (M, 2), (M, D)."""
    if not len(xy) or not len(found_xy):
        return Agreement(len(xy), float(len(xy) == len(found_xy)), 1.0)
    distance, index = (xy[:, None] - found_xy).norm(dim=2).min(1)
    cosine = (descriptors * found_descriptors[index]).sum(1)[distance < NEAR_PX]
    return Agreement(len(xy), float((distance < NEAR_PX).float().mean()), float(cosine.min()) if len(cosine) else 0.0)


def agreement(run: Run, graph: str, model: TraqPoint, config: ExportConfig) -> Agreement:
    """Of a folded model with a graph of it, on a picture of another size than the one it was traced with."""
    width, height = config.image_size or ((320, 224) if graph == "dense" else (301, 213))
    picture = procedural_textures(1, max(width, height), torch.Generator().manual_seed(0))[0, :, :height, :width]
    inputs = inputs_of(graph, model.stride, picture.contiguous())
    with torch.inference_mode():
        found = run(inputs)
        if graph in ("dense", NETWORK):
            return _of_maps(found, graph, model, config, picture)
        ours = Extractor(model, **{name: getattr(config.detection(), name) for name in _DETECTION})(picture)
        xy = found[0][0]
        if graph == "colmap":
            xy = (xy + 1) * (torch.tensor(inputs["image"].shape[:1:-1]) - 1) / 2 + 0.5
        return compare(ours.keypoints, ours.descriptors, xy, found[1][0])


def _of_maps(found: list[Tensor], graph: str, model: TraqPoint, config: ExportConfig, picture: Tensor) -> Agreement:
    """Detect in both logits, and read descriptors there of both maps."""
    images = pad_to_multiple(picture, model.stride)[None]
    size = (images.shape[-1], images.shape[-2])
    maps = model.descriptor.maps(images, [(picture.shape[-1], picture.shape[-2])])
    logits = model.logits(images, maps)
    ends = []
    for values, levels in ((logits, maps), (found[0], tuple(found[1:]))):
        xy = detect(values, config.detection().max_keypoints, config.nms_radius, prominence=config.prominence)[0].xy
        if graph == NETWORK:
            ends += [xy, model.descriptor.at(levels, xy[None], size)[0]]
        else:
            dense = levels[0] if ends else model.descriptor.dense(levels)
            ends += [xy, sample_descriptors(dense, xy[None], size)[0]]
    return compare(*ends)


def run_file(path: Path) -> Run:
    """By ONNX Runtime."""
    session = optional.load("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]

    def run(inputs: Mapping[str, Tensor]) -> list[Tensor]:
        return [torch.from_numpy(x) for x in session.run(None, {name: inputs[name].numpy() for name in names})]

    return run
