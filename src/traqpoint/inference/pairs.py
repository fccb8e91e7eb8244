"""Which pairs of images to match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

from traqpoint.errors import DataError, FormatError
from traqpoint.inference.config import PairsConfig

Pair = tuple[str, str]


def exhaustive_pairs(names: Sequence[str]) -> list[Pair]:
    """Every image with every later one."""
    return list(combinations(names, 2))


def sequential_pairs(names: Sequence[str], window: int = 5) -> list[Pair]:
    """Every image with each of the next `window` images."""
    PairsConfig(window=window)  # checks the range
    return [(a, b) for i, a in enumerate(names) for b in names[i + 1 : i + 1 + window]]


def read_pairs(path: str | Path) -> list[Pair]:
    """Pairs of a text file, ``name name`` per line; empty lines and lines that start with # are skipped.

    Raises FormatError naming the file and the line, DataError if there is no pair.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: cannot be read as a list of pairs ({error})") from None
    pairs = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2:
            raise FormatError(f"{path}:{number}: expected two image names, got {len(words)} words")
        pairs.append((words[0], words[1]))
    if not pairs:
        raise DataError(f"{path}: no pairs in this file")
    return pairs


def select_pairs(names: Sequence[str], config: PairsConfig) -> list[Pair]:
    """The pairs of `names` that the configuration asks for; those of a text file are taken as they are."""
    if config.pairs == "exhaustive":
        return exhaustive_pairs(names)
    if config.pairs == "sequential":
        return sequential_pairs(names, config.window)
    return read_pairs(config.pairs)


def without_repeats(pairs: Iterable[Pair]) -> list[Pair]:
    """Each pair once, whichever way round it comes first, and no image with itself."""
    seen: dict[frozenset[str], Pair] = {}
    for a, b in pairs:
        if a != b:
            seen.setdefault(frozenset((a, b)), (a, b))
    return list(seen.values())
