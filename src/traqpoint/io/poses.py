"""Poses by image name, as hloc and the visual localization benchmark have them: ``name qw qx qy qz tx ty tz``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from traqpoint.files import atomic
from traqpoint.geometry.transforms import quaternion_from_rotation


def write_poses(path: Path, cam_from_world: Mapping[str, Tensor]) -> None:
    """A line per image: quaternion and translation of cam_from_world (4, 4)."""
    lines = []
    for name, pose in cam_from_world.items():
        numbers = torch.cat([quaternion_from_rotation(pose[:3, :3]), pose[:3, 3]]).tolist()
        lines.append(" ".join([name, *map(repr, numbers)]) + "\n")
    with atomic(path) as partial:
        partial.write_text("".join(lines), encoding="utf-8")
