"""Batches for the training loop: made in the loop, or ahead of it by worker processes."""

from __future__ import annotations

import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
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
Make = Callable[[int], tuple[SequenceBatch, Problems]]
"""Number -> batch, and what was found unreadable since the last one."""


class Loader:
    """Batches of these `numbers` of a run of `all_batches`, in this order; a context manager that ends its workers.

    workers = 0: each is made when asked for. workers > 0: made ahead, on the CPU. Everything random in a batch comes
    from a generator of its own that depends on `seed` and its number alone: neither workers nor processes, nor the
    place where a run was continued, change a batch. Raises what the source raises, and DataError that names a worker
    that died and says how.
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        numbers: Sequence[int],
        all_batches: int,
        seed: int = 0,
        workers: int = 0,
    ) -> None:
        self.unreadable: Problems = {}
        """What the source could not read so far."""
        at(source, 1.0)  # a curriculum that lacks its last stage is told before the first step
        make = partial(_make, source, batch_size, all_batches, seed)
        self._workers = [_Worker(turn, make) for turn in range(min(workers, len(numbers)))]
        self._batches = self._from_workers(numbers) if self._workers else (self._noted(make(n)) for n in numbers)

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

    def _from_workers(self, numbers: Sequence[int]) -> Iterator[SequenceBatch]:
        turn = len(self._workers)
        for place, number in enumerate(numbers[: AHEAD * turn]):
            self._workers[place % turn].ask(number)
        for place in range(len(numbers)):
            worker = self._workers[place % turn]
            batch = worker.answer()
            if place + AHEAD * turn < len(numbers):
                worker.ask(numbers[place + AHEAD * turn])
            if batch[1] and not self.unreadable:
                warnings.warn(f"left out from now on: {next(iter(batch[1].values()))}", stacklevel=2)
            yield self._noted(batch)

    def _noted(self, batch: tuple[SequenceBatch, Problems]) -> SequenceBatch:
        self.unreadable |= batch[1]
        return batch[0]


def batch_generator(seed: int, number: int, part: int = 0) -> torch.Generator:
    """Everything random of batch `number` of a run with `seed`. part: 0 for the batch, 1 for the step made with it."""
    state = np.random.SeedSequence([seed, number, part][: 2 + bool(part)]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


class _Worker:
    """A process that answers numbers with batches."""

    def __init__(self, number: int, make: Make) -> None:
        # A fork shares the photos in memory, and needs no import guard in the user's script.
        context = torch.multiprocessing.get_context("fork" if sys.platform == "linux" else None)
        self._name = f"data worker {number}"
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make), daemon=True)
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
        self._process.kill()  # it holds nothing
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


def _serve(pipe: Connection, make: Make) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # these reach all processes; the loop ends this one
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    optional.load("cv2").setNumThreads(0)  # its pool does not survive a fork
    warnings.simplefilter("ignore")  # the loader warns, once for all workers
    loop = parent_process()
    assert loop is not None
    while loop.sentinel not in wait([pipe, loop.sentinel]):  # the loop may be killed, and end nothing
        pipe.send(_answer(make, pipe.recv()))


def _answer(make: Make, number: int) -> tuple[SequenceBatch, Problems] | Exception:
    try:
        return make(number)
    except TraqPointError as error:
        return error
    except Exception:  # its traceback would be lost between the processes
        return RuntimeError(f"in a data worker:\n{traceback.format_exc()}")


def _make(source: Source, batch_size: int, all_batches: int, seed: int, number: int) -> tuple[SequenceBatch, Problems]:
    """A batch, and what was found unreadable since the last one."""
    before = set(unreadable(source))
    sequence = at(source, number / all_batches).sample(batch_size, batch_generator(seed, number))
    return sequence, {key: why for key, why in unreadable(source).items() if key not in before}
