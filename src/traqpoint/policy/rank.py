"""Rank reward (paper): is the projection among the policy's preferred pixels of its surroundings?
(docs/method.md §4)"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint.policy.distribution import IMPOSSIBLE, from_cells, to_cells
from traqpoint.policy.frame import FrameMaps, Points
from traqpoint.policy.reward_config import RankConfig
from traqpoint.policy.terms import MapTerm
from traqpoint.types import WarpedPoints


class Rank(RankConfig, MapTerm):
    """max(0, (ρ − floor) / (1 − floor)), ρ the share of pixels around the projection with a lower logit."""

    def prepare(self, frame: FrameMaps) -> Tensor:
        return rank_map(frame.policy, self.window_px, self.window, self.floor)

    def __call__(self, source: Points, target: FrameMaps, warped: WarpedPoints, judged: Tensor) -> Tensor:
        if self.window == "centred" and not source.dense:
            return rank_at(target.policy, warped.xy, self.window_px, self.floor)
        return super().__call__(source, target, warped, judged)


def rank_map(logits: Tensor, window_px: int, window: str, floor: float) -> Tensor:
    """For each pixel max(0, (ρ − floor) / (1 − floor)), ρ the share of pixels in its window with a lower logit.

    logits: (B, H, W) with impossible pixels restricted; those, and what lies outside of the image, are not counted.
    window: "centred" on the pixel (side odd), or the "cell" of a fixed grid that it falls into (released code; ours
    takes any image size, the last cells are cut). Returns (B, H, W) in [0, 1]. Has no gradient.
    """
    logits = logits.detach()
    share = _share_in_cell(logits, window_px) if window == "cell" else _share_in_window(logits, window_px)
    return ((share - floor) / (1 - floor)).clamp(min=0)


def rank_at(logits: Tensor, xy: Tensor, window_px: int, floor: float) -> Tensor:
    """The centred rank_map at the pixels that hold xy (B, N, 2): (B, N), NaN where xy is. For few points."""
    H, W = logits.shape[1:]
    logits = logits.detach()
    steps = torch.arange(window_px, device=logits.device) - window_px // 2
    pixel = xy.nan_to_num(0).floor().long()
    column = (pixel[..., 0, None, None] + steps).expand(-1, -1, window_px, -1).flatten(2)
    row = (pixel[..., 1, None, None] + steps.unsqueeze(1)).expand(-1, -1, -1, window_px).flatten(2)
    values = (
        logits.flatten(1).gather(1, (row.clamp(0, H - 1) * W + column.clamp(0, W - 1)).flatten(1)).reshape(row.shape)
    )
    counted = (column >= 0) & (column < W) & (row >= 0) & (row < H) & (values > IMPOSSIBLE / 2)
    own = values[..., values.shape[-1] // 2, None]
    share = ((values < own) & counted).sum(-1) / counted.sum(-1).clamp(min=1)
    return torch.where(torch.isnan(xy).any(-1), torch.nan, ((share - floor) / (1 - floor)).clamp(min=0))


def _share_in_window(logits: Tensor, window_px: int) -> Tensor:
    H, W = logits.shape[1:]
    half = window_px // 2
    possible = logits > IMPOSSIBLE / 2
    compared = F.pad(logits.masked_fill(~possible, torch.inf), (half, half, half, half), value=torch.inf)
    lower = torch.zeros_like(logits, dtype=torch.int16)
    # One comparison of the whole map per place in the window: no copy of the windows in memory.
    for dy in range(window_px):
        for dx in range(window_px):
            lower += compared[:, dy : dy + H, dx : dx + W] < logits
    counted = F.avg_pool2d(possible.float().unsqueeze(1), (1, window_px), 1, (0, half), divisor_override=1)
    counted = F.avg_pool2d(counted, (window_px, 1), 1, (half, 0), divisor_override=1).squeeze(1)
    return lower / counted.clamp(min=1)


def _share_in_cell(logits: Tensor, cell_px: int) -> Tensor:
    cells = to_cells(logits, cell_px, IMPOSSIBLE)
    ordered = cells.sort(-1).values
    lower = torch.searchsorted(ordered, cells)  # entries strictly below, ties not counted
    impossible = (cells <= IMPOSSIBLE / 2).sum(-1, keepdim=True)
    share = (lower - impossible).clamp(min=0) / (cells.shape[-1] - impossible).clamp(min=1)
    return from_cells(share, cell_px, (logits.shape[1], logits.shape[2]))
