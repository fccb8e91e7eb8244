"""Batches for the training loop: made in the loop, or ahead of it by worker processes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from traqpoint import optional
from traqpoint.data.base import Source, unreadable
from traqpoint.errors import DataError, TraqPointError
from traqpoint.types import Sequence

Problems = dict[tuple[str, int], str]
"""See base.unreadable."""


class Loader:
    """Batches number `start` to `stop` - 1, in this order; a context manager that ends its workers.

    workers = 0: each is made when asked for, everything random from `generator`. workers > 0: made ahead, on the CPU,
    each from a generator of its own that depends on `seed` and the batch's number alone: neither the number of workers
    nor the place where a run was continued changes a batch. A worker that dies ends the context with a DataError that
    names it and says how.
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        start: int,
        stop: int,
        generator: torch.Generator,
        seed: int = 0,
        workers: int = 0,
    ) -> None:
        self.unreadable: Problems = {}
        """What the source could not read so far."""
        self._batches: Iterator[tuple[Sequence, Problems] | TraqPointError]
        if workers == 0:
            self._batches = ((source.sample(batch_size, generator), unreadable(source)) for _ in range(start, stop))
        else:
            self._batches = iter(
                DataLoader(
                    _Batches(source, batch_size, seed),
                    batch_size=None,
                    sampler=range(start, stop),
                    num_workers=workers,
                    collate_fn=_as_is,
                    worker_init_fn=_begin_worker,
                    generator=torch.Generator(),  # its draw of a seed must not move the global one
                )
            )
        self._in_workers = workers > 0

    def __iter__(self) -> Iterator[Sequence]:
        return self

    def __next__(self) -> Sequence:
        batch = next(self._batches)
        if isinstance(batch, TraqPointError):
            raise batch
        sequence, problems = batch
        if problems and not self.unreadable and self._in_workers:
            warnings.warn(f"left out, here and from now on: {next(iter(problems.values()))}", stacklevel=2)
        self.unreadable |= problems
        return sequence

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._batches = iter(())  # the last reference to the workers
        # PyTorch reports a dead worker from a signal handler: the error surfaces at any line of the loop.
        if isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker"):
            reason = " ".join(str(error).split()).removeprefix("DataLoader worker").replace("num_workers", "workers")
            raise DataError(
                f"a data worker{reason} The last checkpoint is kept: the same command continues from it"
            ) from None


def batch_generator(seed: int, index: int) -> torch.Generator:
    """Everything random of batch `index` of a run with `seed`."""
    state = np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


class _Batches(Dataset):
    """Batches by their number, with what was found unreadable since the last one of this process."""

    def __init__(self, source: Source, batch_size: int, seed: int) -> None:
        self.source, self.batch_size, self.seed = source, batch_size, seed

    def __getitem__(self, index: int) -> tuple[Sequence, Problems] | TraqPointError:
        before = set(unreadable(self.source))
        try:
            sequence = self.source.sample(self.batch_size, batch_generator(self.seed, index))
        except TraqPointError as error:  # raised in the worker, it would come back as a traceback
            return error
        return sequence, {key: why for key, why in unreadable(self.source).items() if key not in before}


def _as_is(batch: Any) -> Any:
    return batch


def _begin_worker(worker: int) -> None:
    optional.load("cv2").setNumThreads(0)  # its pool does not survive a fork
    warnings.simplefilter("ignore")  # the loader warns, once for all workers
