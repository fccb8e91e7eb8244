"""True pairs against all others: the dual softmax, which needs no teacher."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from traqpoint.training.losses.lesson import Lesson, Pair
from traqpoint.training.losses.loss import Loss


@dataclass(frozen=True)
class Contrast(Loss):
    """Mean negative log-likelihood of the true pairs, in both directions; logs their accuracy."""

    inverse_temperature: float = 20.0
    """Of the dual softmax (paper's matcher: 20)."""
    exclusion_px: float = 3.0
    """Other points this near to the true one are no negatives: at the map's stride they cannot be told apart."""

    teacher = False

    def __call__(self, lesson: Lesson) -> Tensor:
        losses, accuracies = zip(*(self.of_pair(pair) for pair in lesson.pairs), strict=True)
        lesson.stats["accuracy"] = torch.stack(accuracies).mean()
        return torch.stack(losses).mean()

    def of_pair(self, pair: Pair) -> tuple[Tensor, Tensor]:
        """The loss of two frames, and the share of pairs that are mutual nearest neighbours."""
        a, b, xy_b, paired = pair.a, pair.b, pair.xy_b, pair.paired
        similarity = self.inverse_temperature * a @ b.transpose(1, 2)
        near = torch.cdist(xy_b.nan_to_num(0), xy_b.nan_to_num(0)) < self.exclusion_px
        eye = torch.eye(a.shape[1], dtype=torch.bool, device=a.device)
        ignored = (near & ~eye) | ~(paired.unsqueeze(1) & paired.unsqueeze(2))
        similarity = similarity.masked_fill(ignored, -1e4)
        forth = similarity.log_softmax(2).diagonal(dim1=1, dim2=2)
        back = similarity.log_softmax(1).diagonal(dim1=1, dim2=2)
        count = paired.sum().clamp(min=1)
        loss = -((forth + back) / 2 * paired).sum() / count
        with torch.no_grad():
            index = torch.arange(a.shape[1], device=a.device)
            mutual = (similarity.argmax(2) == index) & (similarity.argmax(1) == index) & paired
        return loss, mutual.sum() / count
