"""Batches for the training loop: made in the loop, or ahead of it by worker processes."""

from __future__ import annotations

import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from types import TracebackType

import numpy as np
import torch
import torch.multiprocessing

from traqpoint import optional
from traqpoint.data.source import Source, at, unreadable
from traqpoint.errors import DataError, TraqPointError
from traqpoint.types import SequenceBatch

AHEAD = 2
"""Batches that each worker has made or is making while others are used."""

LIKELY_CAUSE = {"SIGKILL": " (out of memory?)", "SIGBUS": " (shared memory full?)"}
"""Of a worker's end, by the signal that ended it."""

Problems = dict[tuple[str, int], str]
"""See data.source.unreadable."""


class Loader:
    """Batches number `start` to `stop` - 1 of a run of `stop`, in this order; a context manager that ends its workers.

    workers = 0: each is made when asked for, everything random from `generator`. workers > 0: made ahead, on the CPU,
    each from a generator of its own that depends on `seed` and the batch's number alone: neither the number of workers
    nor the place where a run was continued changes a batch. Raises what the source raises, and DataError that names a
    worker that died and says how.
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
        at(source, 1.0)  # a curriculum that lacks its last stage is told before the first step
        count = min(workers, stop - start)
        self._workers = [_Worker(number, source, batch_size, stop, seed) for number in range(count)]
        if self._workers:
            self._batches = self._from_workers(start, stop)
        else:
            self._batches = (
                self._noted(_make(source, batch_size, generator, index / stop)) for index in range(start, stop)
            )

    def __iter__(self) -> Iterator[SequenceBatch]:
        return self

    def __next__(self) -> SequenceBatch:
        return next(self._batches)

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.end()

    def _from_workers(self, start: int, stop: int) -> Iterator[SequenceBatch]:
        turn = len(self._workers)
        for index in range(start, min(stop, start + AHEAD * turn)):
            self._workers[(index - start) % turn].ask(index)
        for index in range(start, stop):
            worker = self._workers[(index - start) % turn]
            batch = worker.answer()
            if index + AHEAD * turn < stop:
                worker.ask(index + AHEAD * turn)
            if batch[1] and not self.unreadable:
                warnings.warn(f"left out from now on: {next(iter(batch[1].values()))}", stacklevel=2)
            yield self._noted(batch)

    def _noted(self, batch: tuple[SequenceBatch, Problems]) -> SequenceBatch:
        self.unreadable |= batch[1]
        return batch[0]


def batch_generator(seed: int, index: int) -> torch.Generator:
    """Everything random of batch `index` of a run with `seed`."""
    state = np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


class _Worker:
    """A process that answers numbers with batches."""

    def __init__(self, number: int, source: Source, batch_size: int, stop: int, seed: int) -> None:
        # A fork shares the photos in memory, and needs no import guard in the user's script.
        context = torch.multiprocessing.get_context("fork" if sys.platform == "linux" else None)
        self._name = f"data worker {number}"
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, source, batch_size, stop, seed), daemon=True)
        self._process.start()
        theirs.close()  # or its death would not be seen at this end

    def ask(self, index: int) -> None:
        try:
            self._pipe.send(index)
        except OSError as error:
            raise self._why(error) from error

    def answer(self) -> tuple[SequenceBatch, Problems]:
        try:
            answer = self._pipe.recv()
        except (OSError, EOFError) as error:
            raise self._why(error) from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self) -> None:
        self._process.terminate()
        self._process.join()
        self._pipe.close()

    def _why(self, error: Exception) -> Exception:
        self._process.join(5)
        code = self._process.exitcode
        if code is None:
            return error
        if code < 0:
            name = signal.Signals(-code).name
            how = f"was killed by {name}{LIKELY_CAUSE.get(name, '')}"
        else:
            how = f"ended with exit code {code}"
        where = f"{self._name} (pid {self._process.pid})"
        return DataError(f"{where} {how}; the last checkpoint is kept, the same command goes on from it")


def _serve(pipe: Connection, source: Source, batch_size: int, stop: int, seed: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the loop ends this one
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # pycolmap's handler would print a stack trace
    torch.set_num_threads(1)
    optional.load("cv2").setNumThreads(0)  # its pool does not survive a fork
    warnings.simplefilter("ignore")  # the loader warns, once for all workers
    loop = parent_process()
    assert loop is not None
    while loop.sentinel not in wait([pipe, loop.sentinel]):  # the loop may be killed, and end nothing
        index = pipe.recv()
        pipe.send(_answer(source, batch_size, batch_generator(seed, index), index / stop))


def _answer(
    source: Source, batch_size: int, generator: torch.Generator, progress: float
) -> tuple[SequenceBatch, Problems] | Exception:
    try:
        return _make(source, batch_size, generator, progress)
    except TraqPointError as error:
        return error
    except Exception:  # its traceback would be lost between the processes
        return RuntimeError(f"in a data worker:\n{traceback.format_exc()}")


def _make(
    source: Source, batch_size: int, generator: torch.Generator, progress: float
) -> tuple[SequenceBatch, Problems]:
    """A batch, and what was found unreadable since the last one."""
    before = set(unreadable(source))
    sequence = at(source, progress).sample(batch_size, generator)
    return sequence, {key: why for key, why in unreadable(source).items() if key not in before}
