"""TraqPoint: keypoints that live long, learned by policy gradients over image sequences.

>>> import traqpoint as tp
>>> extractor = tp.Extractor("traqpoint-s", max_keypoints=2048)
>>> a, b = extractor("a.jpg"), extractor("b.jpg")
>>> matches = tp.match(a, b)
>>> tracks = tp.track("video.mp4", extractor)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from traqpoint._version import __version__

if TYPE_CHECKING:
    from traqpoint.errors import TraqPointError as TraqPointError
    from traqpoint.inference.extractor import Extractor as Extractor
    from traqpoint.inference.tracker import track as track
    from traqpoint.matching.mutual import match as match
    from traqpoint.models.traqpoint import TraqPoint as TraqPoint
    from traqpoint.types import Features as Features
    from traqpoint.types import Matches as Matches
    from traqpoint.types import Tracks as Tracks


_HOME = {
    "Extractor": "inference.extractor",
    "Features": "types",
    "Matches": "types",
    "Tracks": "types",
    "TraqPoint": "models.traqpoint",
    "TraqPointError": "errors",
    "match": "matching.mutual",
    "track": "inference.tracker",
}
__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: `traqpoint --help` and a version query need not wait for torch.
    if name not in _HOME:
        raise AttributeError(f"module 'traqpoint' has no attribute {name!r}")
    return getattr(import_module(f"traqpoint.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
