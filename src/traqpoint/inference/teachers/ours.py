"""Weights of ours as a teacher of the next ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor

from traqpoint.inference.teachers.network import NetworkTeacher
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.types import Device


class OurTeacher(NetworkTeacher):
    """Whatever the descriptor network reads at a point."""

    def __init__(self, weights: str | TraqPoint, device: Device) -> None:
        """weights: packaged name, path, or a model, which is frozen. Raises WeightsError for what is no such file."""
        model = weights if isinstance(weights, TraqPoint) else TraqPoint.from_pretrained(weights)
        self.multiple = model.stride
        self.licence = model.metadata.get("license", "licence not stated")
        super().__init__("traqpoint", model, device)

    def maps(self, image: Tensor, size: tuple[int, int]) -> Sequence[Tensor]:
        model = cast(TraqPoint, self.network)
        maps = model.descriptor.maps(image, [size])
        return model.logits(image, maps), *maps

    def at(self, maps: Sequence[Tensor], xy: Tensor, image_size: tuple[int, int]) -> Tensor:
        return cast(TraqPoint, self.network).descriptor.at(maps, xy.unsqueeze(0), image_size)[0]
