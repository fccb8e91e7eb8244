"""What a loss of stage 1 is, and those that the package knows. Without torch: the command line checks names here.

A loss is a class whose fields are its parameters: one file and one line of LOSSES, or a class of your own that is named
as ``module:Name``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from traqpoint.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from traqpoint.training.losses.lesson import Lesson


class Loss(ABC):
    """One part of the loss of a batch."""

    teacher: bool = True
    """Whether it reads lesson.taught: then it says nothing of batches whose source no teacher has seen."""

    @abstractmethod
    def __call__(self, lesson: Lesson) -> Tensor:
        """A number; less is better. What it writes to lesson.stats is logged."""


LOSSES: Registry[type[Loss]] = Registry(
    "loss",
    {
        "contrast": "traqpoint.training.losses.contrast:Contrast",
        "cosine": "traqpoint.training.losses.cosine:Cosine",
        "similarity": "traqpoint.training.losses.similarity:Similarity",
        "procrustes": "traqpoint.training.losses.procrustes:Procrustes",
    },
)
"""Name -> class of a loss."""
