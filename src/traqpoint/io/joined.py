"""Features of several stores, to be matched with each other."""

from __future__ import annotations

from collections.abc import Mapping

from traqpoint.io.stores import FeatureReader
from traqpoint.types import Features


class JoinedFeatures:
    """A FeatureReader of other ones: what is NAME in the store PART is PART/NAME here."""

    def __init__(self, parts: Mapping[str, FeatureReader]) -> None:
        """parts: names without slashes -> open stores, which stay with who opened them."""
        self._parts = parts

    def names(self) -> list[str]:
        return sorted(f"{part}/{name}" for part, store in self._parts.items() for name in store.names())

    def __contains__(self, name: str) -> bool:
        part, _, rest = name.partition("/")
        return part in self._parts and rest in self._parts[part]

    def read(self, name: str) -> Features:
        part, _, rest = name.partition("/")
        return self._parts[part].read(rest)
