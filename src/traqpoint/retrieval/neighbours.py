"""Nearest neighbours among the points of a collection, in memory linear in their number."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from traqpoint import optional

EXACT_UP_TO = 5000
"""Points that are compared with all others: 0.3 s of one core at 256 dimensions, and four times that for twice as many.
Beyond, faiss looks into the nearest cells only."""
_PROBES = 32
"""Cells, of √N, that faiss looks into. Ours, see benchmarks/collection.py."""
_ROWS = 1024


def nearest(points: Tensor, count: int) -> Tensor:
    """Of each point (N, D) float32 the `count` nearest others: (N, count) int64, -1 where there are fewer.

    Exact up to EXACT_UP_TO points; beyond, by faiss's inverted lists. Raises MissingDependencyError without it.
    """
    if len(points) <= EXACT_UP_TO:
        found = _exact(points, min(count, len(points) - 1)) if len(points) > 1 else torch.empty(len(points), 0).long()
    else:
        found = _indexed(points, count)
    return torch.nn.functional.pad(found, (0, count - found.shape[1]), value=-1)


def _exact(points: Tensor, count: int) -> Tensor:
    # By products, places in a city would be told apart to metres only.
    how = "use_mm_for_euclid_dist" if points.shape[1] > 8 else "donot_use_mm_for_euclid_dist"
    out = []
    for start in range(0, len(points), _ROWS):
        distances = torch.cdist(points[start : start + _ROWS], points, compute_mode=how)
        itself = torch.arange(len(distances))
        distances[itself, itself + start] = torch.inf
        out.append(distances.topk(count, largest=False).indices)
    return torch.cat(out)


def _indexed(points: Tensor, count: int) -> Tensor:
    faiss = optional.load("faiss")
    dimension, cells = points.shape[1], math.isqrt(len(points))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(dimension), dimension, cells)
    vectors = points.contiguous().numpy()
    index.train(vectors)
    index.add(vectors)
    index.nprobe = min(_PROBES, cells)
    found = torch.from_numpy(index.search(vectors, count + 1)[1])
    # Its own nearest point, as a rule: of equal points another may come first, and the last one goes then.
    is_itself = found == torch.arange(len(points)).unsqueeze(1)
    is_itself[~is_itself.any(1), -1] = True
    return found[~is_itself].reshape(len(points), count)
