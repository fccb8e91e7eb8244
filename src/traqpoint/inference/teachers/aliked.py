"""ALIKED (kornia's) as a teacher: the strongest here, a second and a half per photo on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from traqpoint import optional
from traqpoint.geometry.pixels import opencv_from_colmap
from traqpoint.inference.teachers.network import NetworkTeacher, load_teacher
from traqpoint.types import Device


class AlikedTeacher(NetworkTeacher):
    """Descriptors are made at each point, of features at a few places around it."""

    licence = "BSD-3-Clause"

    def maps(self, image: Tensor, size: tuple[int, int]) -> Sequence[Tensor]:
        features, scores = cast(Any, self.network).extract_dense_map(image)
        return scores, features

    def at(self, maps: Sequence[Tensor], xy: Tensor, image_size: tuple[int, int]) -> Tensor:
        # -1 and 1 are the centres of the first and the last pixel.
        places = 2 * opencv_from_colmap(xy) / (xy.new_tensor(image_size) - 1) - 1
        return cast(Any, self.network).desc_head(maps[0], [places])[0][0]


def build(name: str, folder: Path | None, device: Device) -> AlikedTeacher:
    """name: aliked-SIZE, of which `folder` holds the file of the same name."""
    network = optional.load("kornia").feature.ALIKED(name)
    load_teacher(network, name, folder, f"{name}.pth")
    return AlikedTeacher(name, network, device)
