"""Pairs in an order in which few images have to be in memory, and features that are kept as long as they fit there."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Sequence

from traqpoint.errors import FormatError
from traqpoint.inference.pairs import Pair
from traqpoint.io.stores import FeatureReader
from traqpoint.types import Device, Features


def near_together(pairs: Sequence[Pair], images: int) -> list[Pair]:
    """The pairs sorted so that, with the last `images` images kept, each is read about once.

    Images are numbered by breadth-first search through the pairs: those of a pair are near each other then, if the
    pairs allow it. A block of images stays while all that it is to be matched with pass by; so all pairs of n images
    take n² / (2 images) reads and not n² / 2. Linear in pairs but for the sorting.
    """
    neighbours: defaultdict[str, list[str]] = defaultdict(list)
    for a, b in pairs:
        neighbours[a].append(b)
        neighbours[b].append(a)
    number: dict[str, int] = {}
    for first in neighbours:
        waiting = deque([] if first in number else [first])
        number.setdefault(first, len(number))
        while waiting:
            for name in neighbours[waiting.popleft()]:
                if name not in number:
                    number[name] = len(number)
                    waiting.append(name)
    block = max(1, images - 2)

    def place(pair: Pair) -> tuple[int, ...]:
        low, high = sorted((number[pair[0]], number[pair[1]]))
        return high // block, low, high

    return sorted(pairs, key=place)


class FeatureCache:
    """Features of a store on a device; the ones used last stay, as many as fit into so many bytes, and two at least."""

    def __init__(self, store: FeatureReader, device: Device, size: int) -> None:
        self._store, self._device, self._size = store, device, size
        self._kept: OrderedDict[str, Features | FormatError] = OrderedDict()
        self._used = 0

    def __call__(self, name: str) -> Features | FormatError:
        """The features, or why they cannot be read."""
        if name not in self._kept:
            try:
                self._kept[name] = self._store.read(name).to(self._device)
            except FormatError as error:
                self._kept[name] = error
            self._used += bytes_of(self._kept[name])
        self._kept.move_to_end(name)
        while self._used > self._size and len(self._kept) > 2:
            self._used -= bytes_of(self._kept.popitem(last=False)[1])
        return self._kept[name]


def bytes_of(features: Features | FormatError) -> int:
    """Of all its tensors."""
    if isinstance(features, FormatError):
        return 0
    return features.keypoints.nbytes + features.scores.nbytes + features.descriptors.nbytes
