"""Files that are made once and used again: networks as graphs, with scales that calibration images gave."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import torch

from traqpoint._version import __version__

FOLDER = "TRAQPOINT_CACHE"
"""Environment variable: where these files lie; by default traqpoint in the user's folder for caches."""


def folder() -> Path:
    """Of the cache; it need not exist."""
    if FOLDER in os.environ:
        return Path(os.environ[FOLDER])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "traqpoint"


def cached(made_of: tuple[str, ...], write: Callable[[Path], object]) -> Path:
    """The file that `write` writes to a path, or has written before. made_of: what its content depends on, besides the
    versions of this package and of PyTorch."""
    key = hashlib.sha256("\n".join((*made_of, __version__, torch.__version__)).encode()).hexdigest()
    path = folder() / f"{key[:32]}.onnx"
    if not path.is_file():
        write(path)
    return path
