"""DISK (kornia's) as a teacher: a descriptor for every pixel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from traqpoint import optional
from traqpoint.inference.teachers.network import NetworkTeacher, load_teacher
from traqpoint.types import Device

FILE = "disk_depth_fp16.pth"


class DiskTeacher(NetworkTeacher):
    """Dense descriptors at full resolution."""

    licence = "Apache-2.0"

    def maps(self, image: Tensor, size: tuple[int, int]) -> Sequence[Tensor]:
        return cast(Any, self.network).heatmap_and_dense_descriptors(image)


def build(name: str, folder: Path | None, device: Device) -> DiskTeacher:
    """`folder` holds FILE."""
    network = optional.load("kornia").feature.DISK()
    load_teacher(network, name, folder, FILE)
    return DiskTeacher(name, network, device)
