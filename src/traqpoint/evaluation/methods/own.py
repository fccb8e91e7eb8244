"""A method of the user's own: whatever maps an image to Features."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from traqpoint.errors import ConfigError
from traqpoint.evaluation.methods.peer import Peer, PeerConfig, Raw
from traqpoint.geometry.pixels import opencv_from_colmap
from traqpoint.types import Features


def own_method(
    extract: Callable[[Tensor], Features], name: str, max_keypoints: int, long_side: int | None, device: str = "cpu"
) -> Peer:
    """`extract` under the protocol that all peers obey.

    It gets a float (3, H, W) RGB tensor in [0, 1], shrunk to `long_side`, and returns Features in the pixels of that
    tensor, as many as it likes in any order; the best `max_keypoints` are kept.
    What returns anything else raises ConfigError when it is called.
    """

    def detect(image: Tensor) -> Raw:
        found = extract(image)
        if not isinstance(found, Features):
            raise ConfigError(f"{name}: what it returns for an image is no Features, but {type(found).__name__}")
        return Raw(opencv_from_colmap(found.keypoints), found.scores, found.descriptors)

    model = extract if isinstance(extract, torch.nn.Module) else getattr(extract, "model", None)
    return Peer(PeerConfig(name, max_keypoints, long_side, f"source {_source_of(extract)}", device), detect, model)


def _source_of(code: Any) -> str:
    """Hash of the file that `code` is written in: with other code, old predictions are another method's."""
    try:
        file = inspect.getsourcefile(code if inspect.isroutine(code) else type(code))
        return hashlib.sha256(Path(str(file)).read_bytes()).hexdigest()[:16]
    except (OSError, TypeError):  # typed into an interpreter
        return "unknown"
