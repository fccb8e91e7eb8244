"""What a teacher is, and those that the package knows. Without torch: the command line's help stands on this file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from traqpoint.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from traqpoint.types import Device


class Teacher(Protocol):
    """A frozen network that describes given points of a photograph.

    One that also detects has ``keypoints(image, count) -> (N, 2)``, N at most `count`, best first; and ``licence: str``
    is what the student's weights say of it.
    """

    @property
    def identity(self) -> str:
        """What tells its descriptors from another's, weights included."""
        ...

    def describe(self, image: Tensor, xy: Tensor) -> Tensor:
        """image (3, H, W) RGB in [0, 1] of any size, pixels xy (N, 2) -> descriptors (N, D) of unit norm."""
        ...


Build = Callable[[str, Path | None, "Device"], Teacher]
"""(its name, folder with the files of weights, device) -> a teacher."""

_EDGEPOINT2 = "traqpoint.inference.teachers.edgepoint2:build"
_ALIKED = "traqpoint.inference.teachers.aliked:build"

TEACHERS: Registry[Build] = Registry(
    "teacher",
    {
        "edgepoint2-T32": _EDGEPOINT2,
        "edgepoint2-M64": _EDGEPOINT2,
        "edgepoint2-E64": _EDGEPOINT2,
        "aliked-t16": _ALIKED,
        "aliked-n16": _ALIKED,
        "aliked-n16rot": _ALIKED,
        "aliked-n32": _ALIKED,
        "disk": "traqpoint.inference.teachers.disk:build",
    },
)
"""Name -> how to build it. Weights of ours are teachers too, by packaged name or path: see `build.build_teacher`."""


def is_ours(name: str) -> bool:
    """Whether `name` is a weight file of TraqPoint's, packaged or a path."""
    from traqpoint.models.weights import available  # torch stays out of the command line's help

    return name.endswith(".safetensors") or (name not in TEACHERS and name in available())


def licence_of(teacher: Teacher) -> str:
    """What it says of its licence."""
    return str(getattr(teacher, "licence", "licence not stated"))
