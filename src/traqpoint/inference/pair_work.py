"""Matching many pairs on one machine: images are read about once, all cores match, results come one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from traqpoint.errors import FormatError
from traqpoint.inference.ahead import mapped, shared_cores
from traqpoint.inference.config import MatchFlowConfig, parse_bytes
from traqpoint.inference.pair_order import FeatureCache, bytes_of, near_together
from traqpoint.inference.pairs import Pair
from traqpoint.io.stores import FeatureReader
from traqpoint.matching.run import Matcher
from traqpoint.types import Device, Features, Matches


@dataclass(frozen=True)
class Matched:
    """Matches of a pair, and how many keypoints its first image has."""

    matches: Matches
    num_keypoints: int


Failures = dict[str, FormatError]
"""By image: why its features cannot be read."""


def matched(
    pairs: Sequence[Pair],
    features: FeatureReader,
    matcher: Matcher,
    device: Device = "cpu",
    flow: MatchFlowConfig | None = None,
) -> Iterator[tuple[Pair, Matched | Failures]]:
    """Each of the pairs with its matches, in the order of `near_together`.

    The store is read in the caller's thread, so it need not bear several; the matcher has to, unless flow.workers is 1.
    """
    if not pairs:
        return
    flow = flow or MatchFlowConfig()
    size = parse_bytes(flow.cache, "cache")
    read = FeatureCache(features, device, size)
    first = bytes_of(read(pairs[0][0]))
    on_cpu = torch.device(device).type == "cpu"
    workers = flow.workers or (torch.get_num_threads() if on_cpu else 1)

    def work(both: tuple[Features | FormatError, Features | FormatError]) -> Matched | None:
        a, b = both
        if isinstance(a, FormatError) or isinstance(b, FormatError):
            return None
        return Matched(matcher(a, b), len(a))

    order = near_together(pairs, max(2, size // max(1, first)))
    both_read = ((read(a), read(b)) for a, b in order)
    with shared_cores(workers):
        # In threads even if one is enough: what a store allocates between two matrices of similarities, in the thread
        # that made both, kept glibc from using their memory again, 16 MB for each pair.
        for pair, (both, found) in zip(order, mapped(work, both_read, workers), strict=True):
            yield (
                pair,
                found
                or {name: value for name, value in zip(pair, both, strict=True) if isinstance(value, FormatError)},
            )
