"""Hybrid sampling: half coverage, half exploitation (docs/method.md §2). Each sample knows its own log-probability."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from traqpoint.policy.distribution import IMPOSSIBLE, log_probabilities, to_cells


@dataclass(frozen=True)
class Samples:
    """Draws from the policies of B images.

    index: (B, N) flat pixel index. log_prob: (B, N), of the distribution that each was drawn from, differentiable.
    possible: (B, N) bool, False where there was nothing to draw. num_cells: the first this many are one per cell.
    """

    index: Tensor
    log_prob: Tensor
    possible: Tensor
    num_cells: int

    def xy(self, width: int) -> Tensor:
        """(B, N, 2) pixel centres."""
        return torch.stack([self.index % width, self.index // width], dim=-1) + 0.5


def _gumbel(shape: torch.Size, like: Tensor, generator: torch.Generator) -> Tensor:
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64).to(like.device, like.dtype)
    return -torch.log(-torch.log(uniform.clamp(1e-12, 1 - 1e-7)))


def sample_cells(
    logits: Tensor, cell_px: int, generator: torch.Generator, shift: tuple[int, int] = (0, 0)
) -> tuple[Tensor, Tensor, Tensor]:
    """One draw per cell from the cell's own softmax: index, log_prob, possible, each (B, cells)."""
    B, H, W = logits.shape
    cells = to_cells(logits, cell_px, IMPOSSIBLE, shift)
    pixels = torch.arange(H * W, device=logits.device).reshape(1, H, W)
    pixels = to_cells(pixels, cell_px, -1, shift).expand(B, -1, -1)
    choice = (cells.detach() + _gumbel(cells.shape, cells, generator)).argmax(-1, keepdim=True)
    log_prob = log_probabilities(cells).gather(-1, choice).squeeze(-1)
    possible = cells.gather(-1, choice).squeeze(-1) > IMPOSSIBLE / 2
    return pixels.gather(-1, choice).squeeze(-1), log_prob, possible


def sample_image(
    logits: Tensor, count: int, generator: torch.Generator, taken: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """`count` draws without replacement from the image's softmax, none of them in `taken` (B, M): index, log_prob,
    possible, each (B, count).

    log_prob of the k-th draw is that of the softmax over what was left: log p_k − log(1 − Σ_{j<k} p_j).
    """
    flat = logits.flatten(1)
    if taken is not None:
        # A cell with nothing to draw gave -1: it takes a column of its own, not the first pixel.
        spare = flat.new_zeros(flat.shape[0], 1)
        flat = torch.cat([flat, spare], 1).scatter(1, taken % (flat.shape[1] + 1), IMPOSSIBLE)[:, :-1]
    log_p = log_probabilities(flat)
    index = (flat.detach() + _gumbel(flat.shape, flat, generator)).topk(count, dim=1).indices
    drawn = log_p.gather(1, index)
    before = drawn.exp().cumsum(1) - drawn.exp()
    log_prob = drawn - torch.log1p(-before.clamp(max=1 - 1e-6))
    return index, log_prob, flat.gather(1, index) > IMPOSSIBLE / 2


def sample_image_with_replacement(
    logits: Tensor, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """`count` independent draws from the image's softmax (released code): index, log_prob, possible, (B, count)."""
    log_p = log_probabilities(logits.flatten(1))
    cumulative = log_p.detach().double().exp().cumsum(1)
    uniform = torch.rand(logits.shape[0], count, generator=generator, dtype=torch.float64).to(logits.device)
    index = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True).clamp(max=log_p.shape[1] - 1)
    return index, log_p.gather(1, index), logits.flatten(1).gather(1, index) > IMPOSSIBLE / 2


def sample_hybrid(
    logits: Tensor,
    cell_px: int,
    num_global: int,
    generator: torch.Generator,
    shift: tuple[int, int] = (0, 0),
    replacement: bool = False,
) -> Samples:
    """One sample per cell and `num_global` more from the whole image. logits: (B, H, W), restricted.

    Without replacement no pixel is drawn twice: a twin would be the second nearest of its own distance ratio.
    """
    index, log_prob, possible = sample_cells(logits, cell_px, generator, shift)
    num_cells = index.shape[1]
    if num_global:
        if replacement:
            more = sample_image_with_replacement(logits, num_global, generator)
        else:
            more = sample_image(logits, num_global, generator, taken=index)
        index, log_prob, possible = (
            torch.cat([a, b], dim=1) for a, b in zip((index, log_prob, possible), more, strict=True)
        )
    return Samples(index.clamp(min=0), log_prob, possible, num_cells)


def scored_by_image(samples: Samples, logits: Tensor) -> Samples:
    """The same draws with the log-probability that the *image-wide* policy gives them (released code).

    Right for global draws with replacement, wrong for draws from cells: their mass across cells then follows how often
    a cell is drawn from, which is always once, whatever is earned there.
    """
    log_prob = log_probabilities(logits.flatten(1)).gather(1, samples.index)
    return replace(samples, log_prob=log_prob)
