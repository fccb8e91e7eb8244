"""What verbs that may follow a camera share: who watches, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from traqpoint.io.video import FrameSource

Show = Callable[[np.ndarray], bool]
"""Takes a uint8 (H, W, 3) RGB frame and says whether it wants more."""


@contextmanager
def until_ctrl_c(source: FrameSource, begun: Callable[[], bool]) -> Iterator[None]:
    """Ctrl-C is the normal end of a webcam, the source that is a number, if something of it is there already."""
    try:
        yield
    except KeyboardInterrupt:
        if not isinstance(source, int) or not begun():
            raise
