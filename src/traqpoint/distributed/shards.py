"""Work in shards: what is done already, and what the tasks are. A shard is an hloc file, with a list of its items.

The list is written last: a shard without one was never finished, and the next task that has its items goes on with it.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from traqpoint.distributed.place import Place, is_url
from traqpoint.errors import ConfigError, FormatError
from traqpoint.files import differences, plain
from traqpoint.io.parts import parts_of
from traqpoint.io.stores import FeatureStore, open_features
from traqpoint.types import Features

_OPEN_FILES = 64


@dataclass(frozen=True)
class Shard:
    """One task: items, each a list of words (name and source, or two names), and the stem of its two files."""

    stem: str
    items: list[list[str]]


def finished(place: Place) -> tuple[set[str], set[str]]:
    """First words of items that are done, and of those that failed, joined by a space where an item is a pair.

    Raises FormatError for a damaged list."""
    done, failed = set[str](), set[str]()
    for name in place.names(".json"):
        try:
            told = json.loads(place.read(name))
            done.update(told["done"])
            failed.update(told["failed"])
        except (ValueError, KeyError, TypeError):
            raise FormatError(
                f"{place.folder}/{name}: not the list of a shard; delete it, and its shard is made again"
            ) from None
    return done, failed - done


def divided(items: Iterable[tuple[str, list[str]]], place: Place, size: int) -> tuple[list[Shard], list[str]]:
    """(key, item) as shards of `size` items, without those whose key is done already, whose keys come second.

    Those that failed before come last, so that the others fall into the same shards as in a run that was stopped.
    Raises FormatError for a damaged list.
    """
    done, failed = finished(place)
    items = list(items)
    skipped = [key for key, _ in items if key in done]
    pending = [item for key, item in items if key not in done and key not in failed]
    pending += [item for key, item in items if key in failed]
    groups = [pending[start : start + size] for start in range(0, len(pending), size)]
    return [Shard(_stem(group), group) for group in groups], skipped


def _stem(items: Sequence[Sequence[str]]) -> str:
    return f"shard-{hashlib.sha256(json.dumps(items).encode()).hexdigest()[:16]}"


def claim_place(place: Place, config: dict[str, Any]) -> None:
    """As `files.claim`, at a place: one configuration for all shards. Raises ConfigError if it has another."""
    if "config.yaml" in place.names(".yaml"):
        known = yaml.safe_load(place.read("config.yaml"))
        if different := differences(known, plain(config)):
            raise ConfigError(
                f"{place.folder}: holds shards of another configuration ({'; '.join(different)}); choose another output"
            )
    else:
        place.write("config.yaml", yaml.safe_dump(plain(config), sort_keys=False))


class ShardedFeatures:
    """A FeatureStore over a folder of shards, to read; some of its files are open at a time.

    Raises FormatError for a part that cannot be read, and for everything that would write."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._open: OrderedDict[Path, FeatureStore] = OrderedDict()
        self._parts: dict[str, Path] = {}
        for part in parts_of(folder):
            with closing(open_features(part)) as store:
                self._parts |= dict.fromkeys(store.names(), part)

    def names(self) -> list[str]:
        return sorted(self._parts)

    def __contains__(self, name: str) -> bool:
        return name in self._parts

    def read(self, name: str) -> Features:
        if name not in self._parts:
            raise FormatError(f"{self.path}: no features of image {name!r}")
        part = self._parts[name]
        if part not in self._open:
            self._open[part] = open_features(part)
        self._open.move_to_end(part)
        if len(self._open) > _OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        return self._open[part].read(name)

    def write(self, name: str, features: Features, image_path: str | Path | None = None) -> None:
        raise FormatError(f"{self.path}: shards are written by extract --engine ray")

    def clear(self) -> None:
        raise FormatError(f"{self.path}: shards are deleted with their folder")

    def close(self) -> None:
        for store in self._open.values():
            store.close()


def open_collection(path: str | Path) -> FeatureStore:
    """The features in a file, an npz folder or a folder of shards, to read. Raises ConfigError for a URL."""
    if is_url(path):
        raise ConfigError(
            f"{path}: features must be on a disk that all workers see; merge or download the shards first"
        )
    path = Path(path)
    is_sharded = path.is_dir() and any(path.glob("shard-*.h5"))
    return ShardedFeatures(path) if is_sharded else open_features(path)
