"""Mutual nearest neighbours of unit descriptors, in memory that does not grow with the product of the set sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from traqpoint.errors import FormatError
from traqpoint.matching.config import MatcherConfig, MutualConfig
from traqpoint.types import Device, Features, Matches

_BLOCK_ELEMENTS = 1 << 23
"""Similarities held at once: 32 MB of float32, which still fills a core or a GPU."""


@dataclass(frozen=True)
class MutualMaxima:
    """Entries of an (N, M) matrix that are the first maximum of both their row and their column.

    row, column: (K,) int64, rows ascending. value: (K,). row_second, column_second: (K,) the next largest value of the
    same row and of the same column, -inf if there is none; NaN if they were not asked for.
    """

    row: Tensor
    column: Tensor
    value: Tensor
    row_second: Tensor
    column_second: Tensor


def match(
    features_a: Features,
    features_b: Features,
    *,
    max_ratio: float | None = None,
    min_similarity: float | None = None,
) -> Matches:
    """Mutual nearest neighbours by cosine similarity, which is the score. Of equal descriptors the first one wins.

    max_ratio: keep matches whose Euclidean distance is below this share of the second nearest one's, seen from both
    images (Lowe's test); a match without a second candidate cannot be judged and is dropped.
    min_similarity: keep matches with at least this cosine. Raises FormatError if the descriptor dimensions differ.
    """
    a, b = paired_descriptors(features_a, features_b)
    config = MutualConfig(max_ratio, min_similarity)
    return mutual_matches(lambda start, stop: a[start:stop] @ b.T, len(a), len(b), a.device, config)


def build(config: MatcherConfig) -> Callable[[Features, Features], Matches]:
    """See `matching.config.MATCHERS`."""
    return partial(match, max_ratio=config.mutual.max_ratio, min_similarity=config.mutual.min_similarity)


def mutual_matches(
    similarity: Callable[[int, int], Tensor], rows: int, columns: int, device: Device, config: MutualConfig
) -> Matches:
    """What `match` makes of an (rows, columns) matrix of cosines, -inf for pairs that must not be matched.

    similarity: (start, stop) -> the rows [start, stop).
    """
    maxima = mutual_maxima(similarity, rows, columns, device, runners_up=config.max_ratio is not None)
    keep = torch.isfinite(maxima.value)
    if config.min_similarity is not None:
        keep &= maxima.value >= config.min_similarity
    if config.max_ratio is not None:
        second = torch.maximum(maxima.row_second, maxima.column_second)
        alone = torch.isinf(torch.minimum(maxima.row_second, maxima.column_second))
        # |a - b|² = 2 - 2 cos for unit vectors.
        squared, squared_second = (2 - 2 * maxima.value).clamp(min=0), (2 - 2 * second).clamp(min=0)
        keep &= ~alone & (squared < config.max_ratio**2 * squared_second)
    return Matches(torch.stack([maxima.row[keep], maxima.column[keep]], dim=-1), maxima.value[keep])


def paired_descriptors(features_a: Features, features_b: Features) -> tuple[Tensor, Tensor]:
    """Both descriptor sets as float32 on the first one's device. Raises FormatError if their dimensions differ."""
    a = features_a.descriptors.float()
    b = features_b.descriptors.to(a.device).float()
    if a.shape[1] != b.shape[1]:
        raise FormatError(
            f"descriptors of {a.shape[1]} and {b.shape[1]} dimensions cannot be matched: extract both images with the "
            "same weights"
        )
    return a, b


def row_blocks(rows: int, columns: int) -> list[tuple[int, int]]:
    """[start, stop) ranges over the rows such that a block of the (rows, columns) matrix stays small."""
    step = max(1, _BLOCK_ELEMENTS // max(1, columns))
    return [(start, min(rows, start + step)) for start in range(0, rows, step)]


def mutual_maxima(
    block: Callable[[int, int], Tensor], rows: int, columns: int, device: Device, runners_up: bool = False
) -> MutualMaxima:
    """Mutual maxima of an (rows, columns) matrix of which `block(start, stop)` gives the rows [start, stop).

    runners_up: find the second largest values too, which doubles the time.
    """
    if rows == 0 or columns == 0:
        index, value = torch.empty(0, dtype=torch.long, device=device), torch.empty(0, device=device)
        return MutualMaxima(index, index, value, value, value)
    row_value, row_second = torch.empty(2, rows, device=device)
    best_column = torch.empty(rows, dtype=torch.long, device=device)
    best, second = torch.full((2, columns), -torch.inf, device=device)
    best_row = torch.zeros(columns, dtype=torch.long, device=device)
    # In place: a tensor kept from each block would lie behind it in the heap, and the next block behind that. 32 k by
    # 32 k took 4 GB so.
    for start, stop in row_blocks(rows, columns):
        values = block(start, stop)
        here = slice(start, stop)
        best_column[here], row_value[here], row_second[here] = _first_maximum(values, runners_up)
        index, value, runner_up = _first_maximum(values.T.contiguous(), runners_up)  # 10 ms, not 28, of 2048 x 2048
        wins = value > best  # strictly: an earlier block keeps a tie
        second.copy_(torch.maximum(torch.minimum(value, best), torch.maximum(second, runner_up)))
        best_row[wins] = index[wins] + start
        best[wins] = value[wins]
    row = torch.arange(rows, device=device)
    mutual = best_row[best_column] == row
    column = best_column[mutual]
    return MutualMaxima(row[mutual], column, row_value[mutual], row_second[mutual], second[column])


def _first_maximum(values: Tensor, runner_up: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Of each row: index of the first maximum, its value, and the largest of the others (-inf if there are none)."""
    value, index = values.max(1)
    if not runner_up:
        return index, value, torch.full_like(value, torch.nan)
    if values.shape[1] == 1:
        return index, value, torch.full_like(value, -torch.inf)
    others = values.scatter(1, index.unsqueeze(1), -torch.inf)
    return index, value, others.amax(1)
