"""The student ought to confuse what the teacher confuses (EdgePoint2): no common space is needed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint.errors import ConfigError
from traqpoint.training.losses.lesson import Lesson
from traqpoint.training.losses.loss import Loss


@dataclass(frozen=True)
class Similarity(Loss):
    """KL(teacher ‖ student) of each point's softmax over the points of another frame, in both directions.

    S = τ · student_i student_jᵀ between two frames i and j of a sequence, T = τ · teacher teacherᵀ of the clean photo.
    Mean over the points that both frames see, and over all pairs of frames.
    """

    inverse_temperature: float = 20.0
    """τ."""

    def __post_init__(self) -> None:
        if self.inverse_temperature <= 0:
            raise ConfigError(f"similarity: inverse_temperature must be positive, got {self.inverse_temperature}")

    def __call__(self, lesson: Lesson) -> Tensor:
        taught = lesson.taught
        assert taught is not None
        teacher = self.inverse_temperature * taught.teacher @ taught.teacher.transpose(1, 2)
        losses = []
        for i, j in combinations(range(taught.student.shape[1]), 2):
            both = taught.seen[:, i] & taught.seen[:, j]
            absent = ~both.unsqueeze(1)
            student = self.inverse_temperature * taught.student[:, i] @ taught.student[:, j].transpose(1, 2)
            wanted = teacher.masked_fill(absent, -1e4).log_softmax(2)
            rows = [
                F.kl_div(s.masked_fill(absent, -1e4).log_softmax(2), wanted, log_target=True, reduction="none").sum(2)
                for s in (student, student.transpose(1, 2))
            ]
            losses.append((sum(rows) / 2 * both).sum() / both.sum().clamp(min=1))
        return torch.stack(losses).mean()
