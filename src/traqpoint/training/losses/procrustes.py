"""The student's descriptors ought to be the teacher's up to a rotation (EdgePoint2): no common space is needed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from traqpoint.training.losses.lesson import Lesson
from traqpoint.training.losses.loss import Loss


@dataclass(frozen=True)
class Procrustes(Loss):
    """min over Q, orthogonal, of ‖S Q − T‖² / N = 2 − 2/N · ‖Sᵀ T‖_*: S, T the N observations of the whole batch."""

    def __call__(self, lesson: Lesson) -> Tensor:
        taught = lesson.taught
        assert taught is not None
        student = taught.student[taught.seen]
        teacher = taught.teacher.unsqueeze(1).expand(-1, taught.seen.shape[1], -1, -1)[taught.seen]
        if not len(student):
            return student.sum()
        return 2 - 2 / len(student) * torch.linalg.matrix_norm(student.T @ teacher, "nuc")
