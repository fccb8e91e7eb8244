"""How long work tells where it is. Nobody here draws: the command line does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

Progress = Callable[[int, int | None], None]
"""Called with (finished, all); all is None where nobody knows it, as of a webcam."""
Bar = Callable[[str], AbstractContextManager[Progress]]
"""Opens the progress of a step by the step's name."""


def no_bar(what: str) -> AbstractContextManager[Progress]:
    """A Bar that says nothing."""
    return nullcontext(lambda done, total: None)


def timed(bar: Bar, seconds: dict[str, float]) -> Bar:
    """The same Bar, which adds how long each step took to `seconds`, by the step's name."""

    @contextmanager
    def opened(what: str) -> Iterator[Progress]:
        began = time.perf_counter()
        try:
            with bar(what) as progress:
                yield progress
        finally:
            seconds[what] = seconds.get(what, 0.0) + time.perf_counter() - began

    return opened
