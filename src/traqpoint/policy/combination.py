"""How the terms of one target frame become one reward. Without torch: plain arithmetic on whatever comes in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from traqpoint.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

Combination = Callable[["Sequence[Tensor]", "Sequence[float]"], "Tensor"]
"""(values, each (B, N) in [0, 1]; their weights) -> (B, N)."""


def product(values: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Π_k (1 − w_k + w_k v_k): a term of weight 1 can take everything, one of weight 0.8 leaves a fifth (ours)."""
    return math.prod((1 - w) + w * v for v, w in zip(values, weights, strict=True))  # type: ignore[return-value]


def mean(values: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Σ_k w_k v_k / Σ_k w_k (paper)."""
    return total(values, weights) / sum(weights)


def total(values: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Σ_k w_k v_k (released code)."""
    return sum(w * v for v, w in zip(values, weights, strict=True))  # type: ignore[return-value]


COMBINATIONS: Registry[Combination] = Registry("combination", {"product": product, "mean": mean, "sum": total})
