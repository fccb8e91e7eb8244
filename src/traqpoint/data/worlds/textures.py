"""Textures for synthetic worlds: procedural ones, photographs, and the mip-mapped atlas that is sampled."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint.errors import ConfigError, DataError, ImageError
from traqpoint.image import list_images, read_image, to_tensor
from traqpoint.types import Device

SMALLEST_LEVEL = 4
"""Side of the coarsest mip level in texels."""

TEXTURE_PX = 512
"""Side of the square textures that worlds make of photos."""
MAX_TEXTURES = 128
"""At most this many photos become textures: with their levels each takes 10 MB of memory."""


def load_textures(folder: str | Path, count: int, size: int, generator: torch.Generator) -> Tensor:
    """`count` different photographs from `folder` (all, if there are fewer), squeezed to (N, 3, size, size).

    Unreadable files are passed over. Raises DataError if nothing is left.
    """
    paths = list_images(folder)
    textures: list[Tensor] = []
    for i in torch.randperm(len(paths), generator=generator).tolist():
        if len(textures) == count:
            break
        with contextlib.suppress(ImageError):
            textures.append(_resize(to_tensor(read_image(paths[i])).unsqueeze(0), size))
    if not textures:
        raise DataError(f"{folder}: no readable image among {len(paths)} files")
    return torch.cat(textures)


def photo_textures(photos: list[Tensor]) -> Tensor:
    """(N, 3, S, S) in [0, 1] of uint8 (3, H, W) photos: at most MAX_TEXTURES, spread over the list."""
    chosen = photos[:: -(-len(photos) // MAX_TEXTURES)]
    return torch.cat([_resize(photo[None].float() / 255, TEXTURE_PX) for photo in chosen])


def procedural_textures(count: int, size: int, generator: torch.Generator) -> Tensor:
    """(count, 3, size, size) in [0, 1]: stone, bricks, tiles, print and polygons in turn, no two alike."""
    makers = (_stone, _bricks, _polygons, _print, _tiles)
    return torch.stack([makers[i % len(makers)](size, generator).clamp(0, 1) for i in range(count)])


def _resize(images: Tensor, size: int) -> Tensor:
    out = F.interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return out.clamp(0, 1)


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """A number drawn from [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def integer(low: int, high: int, generator: torch.Generator) -> int:
    """A whole number drawn from low to high - 1."""
    return int(torch.randint(low, high, (), generator=generator))


def noise(size: int, octaves: range, generator: torch.Generator, decay: float = 0.6) -> Tensor:
    """Noise (size, size) of unit variance: grids of 2^octave random cells, each `decay` times the coarser one."""
    out = torch.zeros(1, 1, size, size)
    for i, octave in enumerate(octaves):
        grid = torch.randn(1, 1, 2**octave, 2**octave, generator=generator) * decay**i
        out += F.interpolate(grid, size=(size, size), mode="bicubic", align_corners=False)
    return (out[0, 0] - out.mean()) / out.std().clamp(min=1e-6)


def _colours(n: int, spread: float, generator: torch.Generator) -> Tensor:
    """(n, 3) colours around one random colour; most of what differs is brightness, as in the world outside."""
    grey = 0.25 + 0.5 * torch.rand((), generator=generator) + spread * torch.randn(n, 1, generator=generator)
    tint = 0.1 * torch.randn(3, generator=generator) + 0.4 * spread * torch.randn(n, 3, generator=generator)
    return grey + tint


def _stone(size: int, generator: torch.Generator) -> Tensor:
    """Two coloured materials, mixed by noise, with grain and dark speckles."""
    first = integer(1, 4, generator)
    mix = torch.sigmoid(uniform(1, 6, generator) * noise(size, range(first, 8), generator, 0.7))
    a, b = _colours(2, 0.22, generator)[:, :, None, None]
    speckles = (noise(size, range(6, 8), generator) > uniform(1.2, 2.2, generator)) * uniform(0.1, 0.4, generator)
    grain = 0.05 * noise(size, range(5, 9), generator, 0.9)
    return a * mix + b * (1 - mix) + grain - speckles.float()


def _cells(size: int, rows: int, columns: int, stagger: float) -> tuple[Tensor, Tensor, Tensor]:
    """Index of the brick at each texel, and the texel's place (0..1) in it across and down."""
    y = (torch.arange(size) + 0.5) / size * rows
    x = (torch.arange(size) + 0.5) / size * columns
    row = y.floor()
    x = x[None, :] + stagger * (row[:, None] % 2)
    column = x.floor() % columns
    return (row[:, None] * columns + column).long(), x - x.floor(), (y - row)[:, None].expand(size, size)


def _bricks(size: int, generator: torch.Generator) -> Tensor:
    """Rows of bricks, each with its own colour and wear, in mortar."""
    rows = integer(5, 14, generator)
    columns = max(2, round(rows * uniform(0.35, 0.8, generator)))
    index, x, y = _cells(size, rows, columns, 0.5 if uniform(0, 1, generator) < 0.8 else 0.0)
    brick = _colours(rows * columns, 0.08, generator)[index].permute(2, 0, 1)
    wear = 0.06 * noise(size, range(2, 9), generator, 0.9) * torch.rand(rows * columns, generator=generator)[index] * 2
    gap = uniform(0.02, 0.06, generator)
    wobble = 0.01 * noise(size, range(4, 7), generator)
    # The gap is as wide across as down.
    mortar = torch.minimum(torch.minimum(x, 1 - x) * rows / columns, torch.minimum(y, 1 - y)) + wobble < gap
    return torch.where(mortar, _colours(1, 0.1, generator)[0][:, None, None], brick + wear)


def _tiles(size: int, generator: torch.Generator) -> Tensor:
    """A floor of tiles in two to five colours, irregular enough that no two places look the same, with stains."""
    n = integer(4, 12, generator)
    index, x, y = _cells(size, n, n, 0.0)
    palette = _colours(integer(2, 6, generator), 0.25, generator)
    choice = torch.randint(0, palette.shape[0], (n * n,), generator=generator)
    colour = palette[choice] + 0.03 * torch.randn(n * n, 3, generator=generator)
    # Each tile is cut along its own line into a light and a dark part.
    angle = 2 * math.pi * torch.rand(n * n, generator=generator)
    side = ((x - 0.5) * torch.cos(angle)[index] + (y - 0.5) * torch.sin(angle)[index]).sign()
    cut = 0.12 * torch.rand(n * n, generator=generator)[index] * side
    joint = torch.minimum(torch.minimum(x, 1 - x), torch.minimum(y, 1 - y)) < uniform(0.01, 0.04, generator)
    out = colour[index].permute(2, 0, 1) + cut + 0.05 * noise(size, range(1, 9), generator, 0.8)
    return torch.where(joint, out * 0.4, out)


def _print(size: int, generator: torch.Generator) -> Tensor:
    """A poster: lines of letter-like glyphs in several sizes on coloured blocks."""
    out = _colours(1, 0.1, generator)[0][:, None, None] + 0.03 * noise(size, range(1, 8), generator)
    for _ in range(integer(6, 14, generator)):
        cell = max(1, round(uniform(0.004, 0.022, generator) * size))
        lines, letters = integer(1, 5, generator), integer(4, 16, generator)
        # A glyph is 5x5 random strokes in a 7x6 box, mirrored half of the time as many letters are.
        glyphs = torch.zeros(lines, letters, 7, 6)
        strokes = (torch.rand(lines, letters, 5, 5, generator=generator) < 0.5).float()
        mirrored = torch.rand(lines, letters, 1, 1, generator=generator) < 0.5
        strokes = torch.where(mirrored, torch.maximum(strokes, strokes.flip(-1)), strokes)
        glyphs[..., 1:6, :5] = strokes
        mask = glyphs.permute(0, 2, 1, 3).reshape(lines * 7, letters * 6)
        mask = mask.repeat_interleave(cell, 0).repeat_interleave(cell, 1)[: size // 2, : size - 1]
        height, width = mask.shape
        top, left = integer(0, size - height, generator), integer(0, size - width, generator)
        paper, ink = _colours(2, 0.3, generator)[:, :, None, None]
        out[:, top : top + height, left : left + width] = torch.where(mask > 0, ink, paper)
    return out


def _polygons(size: int, generator: torch.Generator) -> Tensor:
    """Convex polygons of all sizes over each other."""
    out = _stone(size, generator)
    for i in range(60):
        radius = size * 0.22 * 0.97**i
        centre = torch.rand(2, generator=generator) * size
        left, top = (int(max(0, c - radius)) for c in centre.tolist())
        right, bottom = (int(min(size, c + radius + 1)) for c in centre.tolist())
        x = torch.arange(left, right) + 0.5 - centre[0]
        y = torch.arange(top, bottom)[:, None] + 0.5 - centre[1]
        sides = integer(3, 6, generator)
        angles = 2 * math.pi * (torch.arange(sides) + 0.6 * torch.rand(sides, generator=generator)) / sides
        inner = radius * (0.3 + 0.4 * torch.rand(sides, generator=generator))
        reach = [a.cos() * x + a.sin() * y - r for a, r in zip(angles, inner, strict=True)]
        mask = torch.stack(reach).amax(0) < 0
        colour = _colours(1, 0.2, generator)[0][:, None, None]
        shade = 1 + 0.15 * noise(max(mask.shape), range(1, 4), generator)[: mask.shape[0], : mask.shape[1]]
        region = out[:, top:bottom, left:right]
        out[:, top:bottom, left:right] = torch.where(mask, colour * shade, region)
    return out


class Atlas:
    """Textures (N, 3, S, S) with all their mip levels in one table of texels, two levels per octave.

    Texture coordinates: 1 is one texture, mirrored beyond.
    """

    def __init__(self, textures: Tensor, device: Device = "cpu") -> None:
        if textures.ndim != 4 or textures.shape[1] != 3 or textures.shape[2] != textures.shape[3]:
            raise ConfigError(f"textures must be (N, 3, S, S), got {tuple(textures.shape)}")
        if textures.shape[0] == 0 or textures.shape[2] < SMALLEST_LEVEL:
            raise ConfigError(f"textures must be at least one of {SMALLEST_LEVEL} texels, got {tuple(textures.shape)}")
        textures = textures.to(device).float()
        self.count, self.size = textures.shape[0], textures.shape[2]
        levels = int(2 * math.log2(self.size / SMALLEST_LEVEL)) + 1
        sizes = [round(self.size / 2 ** (level / 2)) for level in range(levels)]
        images = [textures if size == self.size else _resize(textures, size) for size in sizes]
        self.texels = torch.cat([image.permute(0, 2, 3, 1).reshape(-1, 3) for image in images])
        self.sizes = torch.tensor(sizes, device=device, dtype=torch.float32)
        if self.texels.shape[0] >= 2**31:
            raise ConfigError(f"{self.count} textures of {self.size} texels are too many for one atlas")
        starts = [0]
        for size in sizes[:-1]:
            starts.append(starts[-1] + self.count * size * size)
        self.starts = torch.tensor(starts, device=device, dtype=torch.int32)

    def sample(
        self, texture: Tensor, uv: tuple[Tensor, Tensor], footprint: Tensor, probe: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Filtered colours (P, 3) of textures (P,) at coordinates uv (2, P).

        footprint: (P,) size of one pixel in texture coordinates, picks the mip level. probe: (2, P), the two bilinear
        reads lie at uv ± probe: a pixel that is longer than wide is covered by both.
        """
        level = (2 * (footprint * self.size).clamp_(min=1e-6).log2_()).round_().clamp_(0, len(self.sizes) - 1).int()
        size = self.sizes.index_select(0, level)
        last = size - 1
        start = self.starts.index_select(0, level) + texture.int() * (size * size).int()
        indices, weights = [], []
        for sign in (1, -1):
            low, high, near, far = [], [], [], []
            for coordinate, offset in zip(uv, probe, strict=True):
                position = _mirrored(torch.add(coordinate, offset, alpha=sign)).mul_(size).sub_(0.5)
                cell = position.floor()
                share = position.sub_(cell)
                # Beyond its border a mirrored texture repeats the texel at the border.
                low.append(cell.clamp(min=0))
                high.append(torch.minimum(cell + 1, last))
                near.append(1 - share)
                far.append(share)
            columns = (low[0].int(), high[0].int())
            shares = (near[0] * 0.5, far[0] * 0.5)
            for row, share in ((low[1], near[1]), (high[1], far[1])):
                first = row.mul_(size).int().add_(start)
                indices += [first + column for column in columns]
                weights += [share * other for other in shares]
        return F.embedding_bag(
            torch.stack(indices, dim=-1), self.texels, mode="sum", per_sample_weights=torch.stack(weights, dim=-1)
        )


def _mirrored(coordinate: Tensor) -> Tensor:
    """Fold coordinates of an endlessly mirrored texture into [0, 1]."""
    half = coordinate * 0.5
    return half.sub_(half.floor()).mul_(2).sub_(1).abs_().neg_().add_(1)
