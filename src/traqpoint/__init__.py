"""TraqPoint: keypoints that live long, learned by policy gradients over image sequences.

>>> import traqpoint as tp
>>> extractor = tp.Extractor("traqpoint-s", max_keypoints=2048)
>>> a, b = extractor("a.jpg"), extractor("b.jpg")
>>> matches = tp.match(a, b)
>>> verified = tp.verify(matches, a, b)
>>> tracks = tp.track("video.mp4", extractor)

All public names, each with its shapes, units and errors in its own docstring:

- features: `Extractor`, or `TraqPoint`, the networks alone
- matches: `match` (mutual nearest neighbours), `match_dual_softmax`, `LightGlue`, and `build_matcher`, which makes of a
  `MatcherConfig` what the command line would run; `verify` keeps what agrees with one motion or plane (`RobustConfig`)
- tracks: `track`, with `TrackerConfig`
- benchmarks: `run_benchmark`, on the benchmarks in `traqpoint.evaluation`
- data: `Features`, `Matches`, `Verified`, `Tracks`, validated on construction; pixels are COLMAP's
- errors: `TraqPointError` is whatever a user can act on
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from traqpoint._version import __version__

if TYPE_CHECKING:
    from traqpoint.errors import TraqPointError as TraqPointError
    from traqpoint.evaluation.run import run_benchmark as run_benchmark
    from traqpoint.inference.extractor import Extractor as Extractor
    from traqpoint.inference.tracker import track as track
    from traqpoint.matching.config import MatcherConfig as MatcherConfig
    from traqpoint.matching.config import RobustConfig as RobustConfig
    from traqpoint.matching.dual_softmax import match_dual_softmax as match_dual_softmax
    from traqpoint.matching.lightglue import LightGlue as LightGlue
    from traqpoint.matching.mutual import match as match
    from traqpoint.matching.run import build_matcher as build_matcher
    from traqpoint.matching.verify import Verified as Verified
    from traqpoint.matching.verify import verify as verify
    from traqpoint.models.traqpoint import TraqPoint as TraqPoint
    from traqpoint.tracking.config import TrackerConfig as TrackerConfig
    from traqpoint.types import Features as Features
    from traqpoint.types import Matches as Matches
    from traqpoint.types import Tracks as Tracks

_HOME = {
    "Extractor": "inference.extractor",
    "Features": "types",
    "LightGlue": "matching.lightglue",
    "MatcherConfig": "matching.config",
    "Matches": "types",
    "RobustConfig": "matching.config",
    "TrackerConfig": "tracking.config",
    "Tracks": "types",
    "TraqPoint": "models.traqpoint",
    "TraqPointError": "errors",
    "Verified": "matching.verify",
    "build_matcher": "matching.run",
    "match": "matching.mutual",
    "match_dual_softmax": "matching.dual_softmax",
    "run_benchmark": "evaluation.run",
    "track": "inference.tracker",
    "verify": "matching.verify",
}
__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: `traqpoint --help` and a version query need not wait for torch.
    if name not in _HOME:
        raise AttributeError(f"module 'traqpoint' has no attribute {name!r}")
    return getattr(import_module(f"traqpoint.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
