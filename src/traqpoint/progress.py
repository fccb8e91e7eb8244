"""How long work tells where it is. Nobody here draws: the command line does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Progress = Callable[[int, int | None], None]
"""Called with (finished, all); all is None where nobody knows it, as of a webcam."""
Bar = Callable[[str], AbstractContextManager[Progress]]
"""Opens the progress of a step by the step's name."""


def no_bar(what: str) -> AbstractContextManager[Progress]:
    """A Bar that says nothing."""
    return nullcontext(lambda done, total: None)
