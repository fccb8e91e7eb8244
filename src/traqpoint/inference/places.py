"""Where photographs were taken, as points whose distance says how likely two of them show the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from traqpoint.errors import ConfigError
from traqpoint.geometry.transforms import invert_rigid
from traqpoint.inference.images import name_images
from traqpoint.io.colmap_model import ColmapModel, read_model
from traqpoint.io.gps import read_gps
from traqpoint.io.strecha import read_strecha

TURN = 1.0
"""What a right angle between two directions of view counts as, in spreads of the cameras. Ours, a guess that
nothing was measured of."""


def places_of(images: Mapping[str, Path], source: Path | None) -> dict[str, Tensor]:
    """Name -> a point (3,) of GPS or (6,) of poses, float32, for all images whose place is known.

    source: a COLMAP model or a Strecha scene; a folder of photographs with GPS in EXIF; None for that of `images`.
    Raises ConfigError without source and images, FormatError for an unreadable model.
    """
    if source is not None and _is_model(source):
        return _of_poses(read_model(source))
    if source is not None and (source / "cameras.txt").is_file():
        return _of_poses(read_strecha(source))
    if source is not None:
        images = dict(name_images([source]))
    if not images:
        raise ConfigError("--pairs poses needs --poses: a COLMAP model, or the folder of photographs with GPS in EXIF")
    found = {name: read_gps(path) for name, path in images.items()}
    return _on_earth({name: place for name, place in found.items() if place is not None})


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("images.bin", "images.txt"))


def _of_poses(model: ColmapModel) -> dict[str, Tensor]:
    """(6,): the camera's centre, and the direction it looks in, scaled so that a right angle is TURN apart."""
    world_from_cam = torch.stack([invert_rigid(view.cam_from_world) for view in model.images.values()])
    directions = TURN / 2**0.5 * world_from_cam[:, :3, 2]
    points = torch.cat([_in_spreads(world_from_cam[:, :3, 3]), directions], dim=1)
    return dict(zip(model.images, points.float(), strict=True))


def _on_earth(degrees: Mapping[str, tuple[float, float]]) -> dict[str, Tensor]:
    """(3,) on a round Earth: chords order as distances do. Heights are left out: those of phones are noise."""
    latitude, longitude = torch.deg2rad(torch.tensor(list(degrees.values()), dtype=torch.float64).reshape(-1, 2)).T
    points = [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()]
    return dict(zip(degrees, _in_spreads(torch.stack(points, dim=1)).float(), strict=True))


def _in_spreads(points: Tensor) -> Tensor:
    """(N, 3) float64 about their mean, in units of their spread: what is left of a city on a globe in float32."""
    centred = points - points.mean(0)
    return centred / centred.square().sum(1).mean().sqrt().clamp(min=1e-12)
