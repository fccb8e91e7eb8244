"""The student's descriptor ought to be the teacher's."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from traqpoint.training.losses.lesson import Lesson
from traqpoint.training.losses.loss import Loss


@dataclass(frozen=True)
class Cosine(Loss):
    """Mean of 1 - cos(student, target) over the frames that see a point.

    Several teachers, or one of another length, are brought into the student's space by a fixed PCA (ours: 64 dimensions
    hold ALIKED's 128 without loss).
    """

    def __call__(self, lesson: Lesson) -> Tensor:
        taught = lesson.taught
        assert taught is not None
        cosine = (taught.student * taught.targets.unsqueeze(1)).sum(-1)
        return ((1 - cosine) * taught.seen).sum() / taught.seen.sum().clamp(min=1)
