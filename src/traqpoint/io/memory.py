"""Features and matches that are kept in memory: for what fits there and is wanted once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from traqpoint.errors import FormatError
from traqpoint.types import Features, Matches


class MemoryFeatures:
    """A FeatureStore without files."""

    def __init__(self) -> None:
        self._features: dict[str, Features] = {}

    def names(self) -> list[str]:
        return sorted(self._features)

    def __contains__(self, name: str) -> bool:
        return name in self._features

    def read(self, name: str) -> Features:
        if name not in self._features:
            raise FormatError(f"no features of image {name!r}")
        return self._features[name]

    def write(self, name: str, features: Features, image_path: str | Path | None = None) -> None:
        self._features[name] = features

    def clear(self) -> None:
        self._features.clear()

    def close(self) -> None:
        """Nothing is held open."""


class MemoryMatches:
    """A MatchStore without files."""

    def __init__(self) -> None:
        self._matches: dict[tuple[str, str], Matches] = {}

    def check_names(self, names: Iterable[str]) -> None:
        """Every name is its own key."""

    def __len__(self) -> int:
        return len(self._matches)

    def __contains__(self, pair: tuple[str, str]) -> bool:
        return pair in self._matches or pair[::-1] in self._matches

    def pairs(self, names: Iterable[str]) -> list[tuple[str, str]]:
        known = set(names)
        return [pair for pair in self._matches if known.issuperset(pair)]

    def read(self, name_a: str, name_b: str) -> Matches:
        if (name_a, name_b) in self._matches:
            return self._matches[name_a, name_b]
        if (name_b, name_a) in self._matches:
            return self._matches[name_b, name_a].flipped()
        raise FormatError(f"no matches of {name_a!r} and {name_b!r}")

    def write(self, name_a: str, name_b: str, matches: Matches, num_keypoints_a: int | None = None) -> None:
        self._matches.pop((name_b, name_a), None)
        self._matches[name_a, name_b] = matches

    def clear(self) -> None:
        self._matches.clear()

    def close(self) -> None:
        """Nothing is held open."""
