"""Multi-scale deformable attention (Deformable DETR, arXiv 2010.04159) in plain PyTorch.

Positions are pixels of the image, corner convention; a cell of a level with stride s lies at ``xy / s`` there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Shapes = Sequence[tuple[int, int]]
"""(h, w) of each level."""

_CPU_BLOCK = 1024
"""Tokens worked on at once: what they read and write then stays in the cache (fastest of 256 … 8192 measured)."""
_GPU_BLOCK = 16384
"""On a GPU: 400 MB of samples at a time."""


class Reader:
    """Weighted sums of bilinear samples out of value maps; zero outside them.

    value: (B, S, heads, C), the levels of `shapes` one after the other, row by row.
    Called with xy (B, Q, heads, L, P, 2), in cells of each level (corner convention), and weights (B, Q, heads, L, P);
    returns (B, Q, heads, C).
    """

    def __init__(self, value: Tensor, shapes: Shapes) -> None:
        # On a CPU gathering rows is 2.5 times faster than grid_sample; it is neither differentiated nor exported.
        one_way = not (torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing())
        self._read: Callable[[Tensor, Tensor], Tensor]
        if value.device.type == "cpu" and one_way:
            self._read = partial(_read_rows, value, shapes)
        else:
            levels = value.split([h * w for h, w in shapes], dim=1)
            maps = [
                level.permute(0, 2, 3, 1).reshape(-1, value.shape[-1], h, w)
                for level, (h, w) in zip(levels, shapes, strict=True)
            ]
            self._read = partial(_read_grid, maps)

    def __call__(self, xy: Tensor, weights: Tensor) -> Tensor:
        return self._read(xy, weights)


def _read_grid(maps: Sequence[Tensor], xy: Tensor, weights: Tensor) -> Tensor:
    """maps: (B · heads, C, h, w) per level. One level at a time: no stack of all samples is ever held."""
    B, Q, heads, _, P, _ = xy.shape
    C = maps[0].shape[1]
    total = None
    for l, level in enumerate(maps):
        size = xy.new_tensor((level.shape[-1], level.shape[-2]))
        grid = (2 * xy[:, :, :, l] / size - 1).transpose(1, 2).reshape(B * heads, Q, P, 2)
        samples = F.grid_sample(level.to(grid.dtype), grid, padding_mode="zeros", align_corners=False)
        share = (samples * weights[:, :, :, l].transpose(1, 2).reshape(B * heads, 1, Q, P)).sum(-1)
        total = share if total is None else total + share
    assert total is not None
    return total.reshape(B, heads, C, Q).permute(0, 3, 1, 2)


def _read_rows(value: Tensor, shapes: Shapes, xy: Tensor, weights: Tensor) -> Tensor:
    """The four neighbours of every sample as rows of one table, summed by `embedding_bag` without being stored."""
    B, Q, heads, L, P, _ = xy.shape
    size = torch.tensor([(w, h) for h, w in shapes], dtype=torch.int32)
    width, height = size[:, 0].view(L, 1), size[:, 1].view(L, 1)
    start = (torch.cumsum(size.prod(1), 0) - size.prod(1)).to(torch.int32).view(L, 1)
    head = torch.arange(heads, dtype=torch.int32).view(heads, 1, 1)
    # Far outside all neighbours weigh nothing: clamped, so that the cast to integers is defined.
    corner = (xy - 0.5).clamp(-2, 2 * float(size.max()))
    first = corner.floor()
    beyond = corner - first
    x0, y0 = first.to(torch.int32).unbind(-1)
    index = torch.empty(B, Q, heads, L, 4, P, dtype=torch.int32)
    share = torch.empty(B, Q, heads, L, 4, P)
    for k, (dx, dy) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
        x, y = x0 + dx, y0 + dy
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        row = y.clamp(min=0).minimum(height - 1) * width + x.clamp(min=0).minimum(width - 1)
        index[:, :, :, :, k] = (row + start) * heads + head
        wx = beyond[..., 0] if dx else 1 - beyond[..., 0]
        wy = beyond[..., 1] if dy else 1 - beyond[..., 1]
        share[:, :, :, :, k] = wx * wy * inside * weights
    out = [
        F.embedding_bag(i.reshape(Q * heads, -1), v.reshape(-1, v.shape[-1]), per_sample_weights=s, mode="sum")
        for i, s, v in zip(index, share.reshape(B, Q * heads, -1), value.float(), strict=True)
    ]
    return torch.stack(out).reshape(B, Q, heads, -1)


class DeformableAttention(nn.Module):
    """Each token reads `points` places per head and level, at learned offsets (in cells of that level) from itself."""

    def __init__(self, dim: int, heads: int, levels: int, points: int) -> None:
        super().__init__()
        self.heads, self.levels, self.points = heads, levels, points
        self.sampling_offsets = nn.Linear(dim, heads * levels * points * 2)
        self.attention_weights = nn.Linear(dim, heads * levels * points)
        self.value_proj = nn.Linear(dim, dim)
        self.output_proj = nn.Linear(dim, dim)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """Heads look in directions all around, points 1, 2, 3 … cells away, all with equal weight (paper)."""
        angle = torch.arange(self.heads) * (2 * math.pi / self.heads)
        direction = torch.stack([angle.cos(), angle.sin()], -1)
        direction = direction / direction.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, self.points + 1)
        offsets = direction.view(-1, 1, 1, 2) * steps.view(1, 1, -1, 1)
        self.sampling_offsets.bias.copy_(offsets.expand(-1, self.levels, -1, -1).reshape(-1))
        for layer in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def reader(self, tokens: Tensor, shapes: Shapes) -> Reader:
        """What all tokens (B, S, D) offer to be read."""
        return Reader(self.value_proj(tokens).unflatten(-1, (self.heads, -1)), shapes)

    def forward(self, query: Tensor, cells: Tensor, read: Reader) -> Tensor:
        """query (B, Q, D) at cells (Q, L, 2), its place in cells of each level -> (B, Q, D)."""
        shape = (self.heads, self.levels, self.points)
        # Places in float32 under autocast too: bfloat16 counts 400 cells in steps of two.
        offsets = self.sampling_offsets(query).float().unflatten(-1, (*shape, 2))
        weights = self.attention_weights(query).float().unflatten(-1, (self.heads, -1)).softmax(-1)
        xy = cells[:, None, :, None] + offsets
        return self.output_proj(read(xy, weights.unflatten(-1, shape[1:])).flatten(2))


class EncoderLayer(nn.Module):
    """Post-norm: attention, add, norm; MLP with ReLU, add, norm."""

    def __init__(self, dim: int, hidden: int, heads: int, levels: int, points: int) -> None:
        super().__init__()
        self.self_attn = DeformableAttention(dim, heads, levels, points)
        self.norm1 = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, hidden)
        self.linear2 = nn.Linear(hidden, dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, positions: Tensor, cells: Tensor, shapes: Shapes) -> Tensor:
        """tokens (B, S, D), positions (S, D) added to the queries, cells (S, L, 2) -> tokens (B, S, D)."""
        read = self.self_attn.reader(tokens, shapes)
        block = _CPU_BLOCK if tokens.device.type == "cpu" else _GPU_BLOCK
        # Everything but the values concerns one token alone: in blocks, memory does not grow with the image.
        parts = zip(tokens.split(block, 1), positions.split(block), cells.split(block), strict=True)
        return torch.cat([self._update(t, p, c, read) for t, p, c in parts], dim=1)

    def _update(self, tokens: Tensor, positions: Tensor, cells: Tensor, read: Reader) -> Tensor:
        tokens = self.norm1(tokens + self.self_attn(tokens + positions, cells, read))
        return self.norm2(tokens + self.linear2(F.relu(self.linear1(tokens))))


def sine_positions(centres: Tensor, image_size: tuple[float, float], dim: int) -> Tensor:
    """(N, dim) sines and cosines of the places centres (N, 2) in an image of (W, H): half for y, then half for x."""
    half = dim // 2
    period = 10000.0 ** (2 * (torch.arange(half, device=centres.device) // 2) / half)
    xy = 2 * math.pi * centres / centres.new_tensor(image_size)
    angle = xy.flip(-1).unsqueeze(-1) / period
    return torch.stack([angle[..., 0::2].sin(), angle[..., 1::2].cos()], dim=-1).reshape(-1, dim)


def cell_centres(shape: tuple[int, int], stride: int, device: torch.device) -> Tensor:
    """(h · w, 2) pixels: centres of the cells of a level, row by row."""
    y, x = torch.meshgrid(*(torch.arange(n, device=device) for n in shape), indexing="ij")
    return (torch.stack([x, y], dim=-1).reshape(-1, 2) + 0.5) * stride
