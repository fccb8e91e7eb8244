"""What a reward is made of: a term says how good points are, seen in one target frame (docs/method.md §4).

A term is a class whose fields are its parameters: one file and one line of TERMS, or a class of your own that is named
as ``module:Name``. Without torch, so that the command line can list and check names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from traqpoint.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from traqpoint.policy.frame import FrameMaps, Points
    from traqpoint.types import WarpedPoints


class Term(ABC):
    """One part of the reward. Terms are hashable: frozen dataclasses, or plain classes."""

    stride: int = 1
    """A term that varies slowly is asked at the centres of cells of this side where a whole lattice is judged, and
    interpolated between them. Few points are always asked one by one."""
    target_gradient: bool = False
    """Whether the target frame's policy receives the gradient of what it says; otherwise a term is a constant."""

    def prepare(self, frame: FrameMaps) -> Any:
        """What the term reads of a target frame: made at most once per frame, see `prepared`."""
        return None

    def prepared(self, frame: FrameMaps) -> Any:
        """`prepare(frame)`, kept in the frame."""
        return frame.once(self, self.prepare)

    @abstractmethod
    def __call__(self, source: Points, target: FrameMaps, warped: WarpedPoints, judged: Tensor) -> Tensor:
        """(B, N) in [0, 1] of points `source` (B, N) that lie at warped.xy (B, N, 2) in the target frame.

        judged: (B, N) bool, the points whose value counts. The others may have any value, and no place (NaN).
        """


class MapTerm(Term):
    """A term that depends on the place in the target frame alone: `prepare` returns a map (B, H, W) of it."""

    def __call__(self, source: Points, target: FrameMaps, warped: WarpedPoints, judged: Tensor) -> Tensor:
        return target.read(self.prepared(target), warped.xy)


TERMS: Registry[type[Term]] = Registry(
    "reward term",
    {
        "redetection": "traqpoint.policy.redetection:Redetection",
        "rank": "traqpoint.policy.rank:Rank",
        "maximum": "traqpoint.policy.maximum:Maximum",
        "distinctiveness": "traqpoint.policy.distinctiveness:Distinctiveness",
        "similarity": "traqpoint.policy.similarity:Similarity",
    },
)
"""Name -> class of a term."""
