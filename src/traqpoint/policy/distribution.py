"""The policy as categorical distributions: π(x | I) = softmax(logits), over the image or inside cells."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

IMPOSSIBLE = -1e9
"""Logit of a pixel outside the support: probability exactly 0, without the NaN of 0 · -inf in gradients."""


def restrict(logits: Tensor, support: Tensor) -> Tensor:
    """Logits (B, H, W) with zero probability outside `support` (B, H, W) bool.

    Pixels that can never be rewarded must not be in the softmax: mass would flee there.
    """
    return logits.masked_fill(~support, IMPOSSIBLE)


def to_cells(x: Tensor, cell_px: int, fill: float, shift: tuple[int, int] = (0, 0)) -> Tensor:
    """Cut maps (B, H, W) into square cells -> (B, cells, cell_px²). The grid starts `shift` = (dy, dx) pixels
    above and left of the image; what a cell has outside the image is `fill`."""
    B, H, W = x.shape
    dy, dx = shift
    below, right = -(H + dy) % cell_px, -(W + dx) % cell_px
    x = F.pad(x, (dx, right, dy, below), value=fill)
    x = x.unflatten(2, (-1, cell_px)).unflatten(1, (-1, cell_px))  # B, rows, cell, columns, cell
    return x.transpose(2, 3).reshape(B, -1, cell_px * cell_px)


def from_cells(cells: Tensor, cell_px: int, shape: tuple[int, int], shift: tuple[int, int] = (0, 0)) -> Tensor:
    """Inverse of to_cells: (B, cells, cell_px²) -> (B, H, W)."""
    H, W = shape
    dy, dx = shift
    rows, columns = -(-(H + dy) // cell_px), -(-(W + dx) // cell_px)
    x = cells.reshape(-1, rows, columns, cell_px, cell_px).transpose(2, 3)
    return x.reshape(-1, rows * cell_px, columns * cell_px)[:, dy : dy + H, dx : dx + W]


def log_probabilities(logits: Tensor) -> Tensor:
    """log softmax over the last dimension."""
    return logits.log_softmax(-1)


def entropy(logits: Tensor) -> Tensor:
    """H = −Σ p log p over the last dimension, in nats."""
    log_p = log_probabilities(logits)
    return -(log_p.exp() * log_p).sum(-1)


def supported(logits: Tensor) -> Tensor:
    """(...,) bool: distributions over the last dimension that have at least one possible outcome."""
    return logits.amax(-1) > IMPOSSIBLE / 2


def random_shift(cell_px: int, generator: torch.Generator) -> tuple[int, int]:
    """A grid offset (dy, dx), uniform in [0, cell_px)²."""
    dy, dx = torch.randint(cell_px, (2,), generator=generator).tolist()
    return dy, dx
