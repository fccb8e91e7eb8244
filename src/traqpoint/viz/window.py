"""A window on the screen, where there is one."""

from __future__ import annotations

import os
import re
import sys
from types import TracebackType

import numpy as np

from traqpoint import optional

_END = frozenset({27, ord("q")})
"""Escape, and q."""


def why_no_window() -> str | None:
    """Why a window cannot be opened here, in a few words; None if it can."""
    build = optional.load("cv2").getBuildInformation()
    if re.search(r"GUI:\s*NONE", build):
        return "this OpenCV has no windows (pip install opencv-python in place of opencv-python-headless)"
    # Qt does not raise where there is no display: it ends the process.
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no screen (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    return None


class Window:
    """Shows one frame after the other; use as a context manager."""

    def __init__(self, title: str) -> None:
        self.title = title

    def show(self, image: np.ndarray) -> bool:
        """image: uint8 (H, W, 3) RGB. Returns whether to go on: not after q, Escape, or when the window was closed."""
        cv2 = optional.load("cv2")
        cv2.imshow(self.title, np.ascontiguousarray(image[..., ::-1]))
        key = cv2.waitKey(1) & 0xFF
        return key not in _END and cv2.getWindowProperty(self.title, cv2.WND_PROP_VISIBLE) >= 1

    def __enter__(self) -> Window:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        optional.load("cv2").destroyAllWindows()
