"""Writing features while the network works on the next ones."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from traqpoint.errors import DataError
from traqpoint.io.stores import FeatureStore
from traqpoint.types import Features

_WAITING = 8
"""Results that may wait for the disk before the network waits, too."""


class Writer:
    """One thread that writes into an open store, in order; use as a context manager.

    Whatever ends the block, what was put in is written first. finished: names that are on the disk, not before.
    """

    def __init__(self, store: FeatureStore) -> None:
        self.finished: list[str] = []
        self._store = store
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._waiting: deque[tuple[str, Future[None]]] = deque()

    def put(self, name: str, features: Features, path: Path) -> None:
        """Raises DataError if an earlier one could not be written: the disk is full, or gone."""
        self._waiting.append((name, self._pool.submit(self._store.write, name, features, path)))
        while self._waiting and (len(self._waiting) > _WAITING or self._waiting[0][1].done()):
            self._collect()

    def drain(self) -> None:
        """Wait for the disk. Raises as `put` does."""
        while self._waiting:
            self._collect()

    def _collect(self) -> None:
        name, written = self._waiting.popleft()
        try:
            written.result()
        except OSError as error:
            where = getattr(self._store, "path", "the output")
            raise DataError(
                f"{where}: {name} cannot be written ({error.strerror or error}); what is finished is kept, run the "
                "same command to go on"
            ) from None
        self.finished.append(name)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.drain()
        finally:
            self._pool.shutdown(wait=True)
