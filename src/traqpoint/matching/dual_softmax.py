"""Matches that are probable in both directions at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from traqpoint.matching.config import DualSoftmaxConfig, MatcherConfig
from traqpoint.matching.mutual import mutual_maxima, paired_descriptors, row_blocks
from traqpoint.types import Features, Matches


def match_dual_softmax(
    features_a: Features,
    features_b: Features,
    inverse_temperature: float = 20.0,
    min_probability: float = 0.01,
) -> Matches:
    """Mutual maxima of ``P = softmax(S, rows) · softmax(S, columns)`` with S = inverse_temperature × cosine.

    The score is P (LoFTR's dual softmax). 20 is the inverse temperature of DeDoDe's matcher;
    0.01 only drops what is no match at all.
    Raises FormatError if the descriptor dimensions differ.
    """
    DualSoftmaxConfig(inverse_temperature, min_probability)  # checks the ranges
    a, b = paired_descriptors(features_a, features_b)
    rows, columns = len(a), len(b)

    def logits(start: int, stop: int) -> torch.Tensor:
        return inverse_temperature * (a[start:stop] @ b.T)

    row_norm = a.new_empty(rows)
    column_norm = a.new_full((columns,), -torch.inf)
    for start, stop in row_blocks(rows, columns) if columns else ():
        values = logits(start, stop)
        row_norm[start:stop] = values.logsumexp(1)
        torch.logaddexp(column_norm, values.logsumexp(0), out=column_norm)  # in place: see mutual_maxima

    def log_probability(start: int, stop: int) -> torch.Tensor:
        return 2 * logits(start, stop) - row_norm[start:stop, None] - column_norm

    maxima = mutual_maxima(log_probability, rows, columns, a.device)
    probability = maxima.value.exp()
    keep = probability >= min_probability
    return Matches(torch.stack([maxima.row[keep], maxima.column[keep]], dim=-1), probability[keep])


def build(config: MatcherConfig) -> Callable[[Features, Features], Matches]:
    """See `matching.config.MATCHERS`."""
    own = config.dual_softmax
    return partial(match_dual_softmax, inverse_temperature=own.inverse_temperature, min_probability=own.min_probability)
