"""The kinds of files by name, with what goes in and comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from traqpoint.export.graphs import Colmap, Dense, Found, Full
from traqpoint.image import pad_to_multiple
from traqpoint.inference.config import ExtractorConfig
from traqpoint.inference.runtimes.graph import MAPS, NETWORK
from traqpoint.inference.runtimes.graph import inputs_of as network_inputs
from traqpoint.models.traqpoint import TraqPoint


@dataclass(frozen=True)
class Graph:
    """A kind of file."""

    build: Callable[[TraqPoint, ExtractorConfig], nn.Module]
    outputs: Mapping[str, Mapping[int, str]]
    """With the dimensions of any length."""
    image: str = "images"
    """Name of the image among the inputs."""
    batch: int | None = None
    """Images at once, if that is fixed."""
    any_side: bool = False
    """Whether sides need not be multiples of the stride."""
    limits: bool = True
    """Whether max_keypoints and min_score are inputs."""


_FOUND = {name: {0: "batch", 1: "keypoints"} for name in Found._fields}
GRAPHS = {
    "full": Graph(Full, _FOUND, any_side=True),
    "dense": Graph(lambda model, _: Dense(model), {"logits": MAPS, "descriptors": MAPS}, limits=False),
    "colmap": Graph(Colmap, _FOUND, image="image", batch=1),
}
"""By name; besides, there is NETWORK, which the runtimes run."""


def inputs_of(graph: str, stride: int, image: Tensor, max_keypoints: int = 1024) -> dict[str, Tensor]:
    """What the inputs of a graph get for one image (3, H, W), padded if it must be."""
    padded = pad_to_multiple(image, stride)[None]
    if graph == NETWORK:
        return network_inputs(padded, [(image.shape[-1], image.shape[-2])])
    kind = GRAPHS[graph]
    limits = {"max_keypoints": torch.tensor(max_keypoints), "min_score": torch.tensor(0.0)}
    return {kind.image: image[None] if kind.any_side else padded, **(limits if kind.limits else {})}
