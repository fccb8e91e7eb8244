"""Textures that repeat one unit without end: places that look alike, and that nothing can tell apart."""

from __future__ import annotations

import torch
from torch import Tensor

from traqpoint.data.worlds.textures import integer, noise, uniform

UNITS = (4, 8, 16)
"""Units across a texture; a multiple of them as its size makes every unit the same to the last texel."""
UNIT_PX = 64
"""Side of the noise that a unit is made of."""


def repeated_textures(count: int, size: int, generator: torch.Generator) -> Tensor:
    """(count, 3, size, size) in [0, 1]: bricks, tiles and windows in turn.

    Each unit is its own mirror image, left to right and top to bottom, so that a surface that shows the texture over
    and over, mirrored at its borders as `Atlas` does, shows the same unit at equal steps everywhere.
    """
    makers = (_bricks, _tiles, _windows)
    return torch.stack([makers[i % len(makers)](size, generator).clamp(0, 1) for i in range(count)])


def _units(generator: torch.Generator) -> int:
    return UNITS[integer(0, len(UNITS), generator)]


def _folded(size: int, units: int) -> Tensor:
    """(size,): how far each texel is from its unit's centre, 0 there and 1 at the border."""
    place = (torch.arange(size) + 0.5) / size * units
    return ((place - place.floor()) - 0.5).abs() * 2


def _wear(x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """Noise of unit variance, the same in each unit, at folded coordinates x, y in [0, 1]."""
    grain = noise(UNIT_PX, range(1, 7), generator, 0.8)
    return grain[(y * (UNIT_PX - 1)).round().long(), (x * (UNIT_PX - 1)).round().long()]


def _paints(n: int, generator: torch.Generator) -> list[Tensor]:
    """n colours (3, 1, 1) that differ in brightness by about 0.17 or more, so that the unit shows."""
    order = torch.randperm(5, generator=generator)[:n]
    tint = 0.05 * torch.randn(n, 3, generator=generator)
    return list((0.15 + 0.17 * order[:, None] + tint)[..., None, None])


def _bricks(size: int, generator: torch.Generator) -> Tensor:
    """Two rows of bricks per unit, every other one moved by half a brick."""
    units = _units(generator)
    # Borders run through the middle of a row: both its neighbours are then moved rows.
    row = _folded(size, units)[:, None].expand(size, size)
    moved = row < 0.5
    y = torch.where(moved, row * 2, (1 - row) * 2)
    across = _folded(size, units)[None].expand(size, size)
    x = torch.where(moved, 1 - across, across)
    gap = uniform(0.08, 0.18, generator)
    mortar = (x > 1 - gap / 2) | (y > 1 - gap)
    stone, joint = _paints(2, generator)
    return torch.where(mortar, joint, stone + 0.08 * _wear(x, y, generator))


def _tiles(size: int, generator: torch.Generator) -> Tensor:
    """Painted tiles: an ornament in three colours that is its own mirror image, about the diagonals too."""
    units = _units(generator)
    f = _folded(size, units)
    x, y = f[None].expand(size, size), f[:, None].expand(size, size)
    ornament = noise(UNIT_PX, range(1, 5), generator)
    inner = [(c * (UNIT_PX - 1)).round().long() for c in (torch.minimum(x, y), torch.maximum(x, y))]
    paint = ornament[inner[1], inner[0]]
    palette = torch.cat(_paints(3, generator), dim=2)[:, 0].t()
    out = palette[(paint > -0.4).long() + (paint > 0.5).long()].permute(2, 0, 1)
    return torch.where(torch.maximum(x, y) > 0.95, 0.4 * out, out + 0.03 * _wear(x, y, generator))


def _windows(size: int, generator: torch.Generator) -> Tensor:
    """A facade: one window per unit, with its frame and bars, in a plastered wall."""
    units = UNITS[integer(0, 2, generator)]
    f = _folded(size, units)
    x, y = f[None].expand(size, size), f[:, None].expand(size, size)
    wide, high, frame = uniform(0.35, 0.7, generator), uniform(0.5, 0.8, generator), uniform(0.05, 0.12, generator)
    wall, wood, glass = _paints(3, generator)
    bars = (x < frame / 2) | ((y - high / 3).abs() < frame / 3)
    pane = glass + 0.08 * _wear(x, y, generator)
    window = torch.where(bars | (x > wide - frame) | (y > high - frame), wood, pane)
    return torch.where((x < wide) & (y < high), window, wall + 0.04 * _wear(x, y, generator))
