"""Work on several items at once, with results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def mapped(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, waiting: int = 2
) -> Iterator[tuple[Item, Result]]:
    """(item, function(item)) in order. So many threads work ahead, and so many more items wait for one.

    Items are taken in the caller's thread. Without workers, each is worked on when it is asked for.
    """
    if not workers:
        yield from ((item, function(item)) for item in items)
        return
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        rest = iter(items)
        ahead: deque[tuple[Item, Future[Result]]] = deque()
        for item in islice(rest, workers + waiting):
            ahead.append((item, pool.submit(function, item)))
        while ahead:
            item, result = ahead.popleft()
            yield item, result.result()
            ahead.extend((item, pool.submit(function, item)) for item in islice(rest, 1))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def shared_cores(workers: int) -> Iterator[None]:
    """While it lasts, each of so many threads that call PyTorch gets its share of the cores that it has now."""
    cores = torch.get_num_threads()
    torch.set_num_threads(max(1, cores // max(1, workers)))
    try:
        yield
    finally:
        torch.set_num_threads(cores)
