"""EdgePoint2 as a teacher: strong, and a fifth of a second per photo on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from traqpoint.inference.teachers.network import NetworkTeacher, load_teacher
from traqpoint.models.edgepoint2 import EdgePoint2
from traqpoint.types import Device


class EdgePoint2Teacher(NetworkTeacher):
    """Dense descriptors at a quarter of the resolution."""

    licence = "MIT"

    def maps(self, image: Tensor, size: tuple[int, int]) -> Sequence[Tensor]:
        descriptors, scores = self.network(image)
        return scores, descriptors


def build(name: str, folder: Path | None, device: Device) -> EdgePoint2Teacher:
    """name: edgepoint2-SIZE, of which `folder` holds the file of the same name."""
    network = EdgePoint2(name.removeprefix("edgepoint2-"))
    load_teacher(network, name, folder, f"{name}.pth")
    return EdgePoint2Teacher(name, network, device)
