"""Each loss against a calculation by hand, and where its gradient leads."""

import math

import pytest
import torch
import torch.nn.functional as F

from traqpoint.errors import ConfigError
from traqpoint.training.config import DescriptorConfig
from traqpoint.training.losses.build import build_losses
from traqpoint.training.losses.cosine import Cosine
from traqpoint.training.losses.lesson import Lesson, Taught
from traqpoint.training.losses.procrustes import Procrustes
from traqpoint.training.losses.similarity import Similarity

ALL = [Cosine(), Similarity(inverse_temperature=5.0), Procrustes()]


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def lesson(student, teacher, seen=None, projection=None):
    """student (B, T, N, D), teacher (B, N, E)."""
    seen = torch.ones(student.shape[:3], dtype=torch.bool) if seen is None else seen

    def no_pairs():
        raise AssertionError("distillation draws no points")

    return Lesson(no_pairs, Taught(student, seen, teacher, projection))


def repeated(descriptors, frames=2):
    return descriptors.unsqueeze(1).repeat(1, frames, 1, 1)


def test_cosine_by_hand():
    teacher = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    student = torch.tensor([[[[1.0, 0.0], [0.6, 0.8]], [[0.0, 1.0], [1.0, 0.0]]]])
    seen = torch.tensor([[[True, True], [True, False]]])
    assert float(Cosine()(lesson(student, teacher, seen))) == pytest.approx((0 + 0.2 + 1) / 3)


def test_cosine_through_a_projection_is_with_the_projected_teacher():
    teacher, projection = unit(1, 5, 8), torch.linalg.qr(torch.randn(8, 4))[0]
    student = repeated(F.normalize(teacher @ projection, dim=-1))
    assert float(Cosine()(lesson(student, teacher, projection=projection))) == pytest.approx(0, abs=1e-6)


def test_similarity_by_hand():
    teacher = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    student = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]]])
    e = math.e
    wanted = [e / (1 + e), 1 / (1 + e)]

    def kl(p, q):
        return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))

    # Rows of S = [[1, 0], [1, 0]] against [[1, 0], [0, 1]]; then its columns.
    forth = (kl(wanted, wanted) + kl(wanted[::-1], wanted)) / 2
    back = kl(wanted, [0.5, 0.5])
    found = Similarity(inverse_temperature=1.0)(lesson(student, teacher))
    assert float(found) == pytest.approx((forth + back) / 2, rel=1e-5)


def test_similarity_and_procrustes_care_for_no_rotation_and_no_length():
    teacher = unit(2, 9, 6)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))[0]
    longer = F.pad(teacher @ turn, (0, 3))
    for loss in (Similarity(inverse_temperature=5.0), Procrustes()):
        assert float(loss(lesson(repeated(longer), teacher))) == pytest.approx(0, abs=1e-5)
        assert float(loss(lesson(repeated(unit(2, 9, 9, seed=4)), teacher))) > 0.1


def test_procrustes_is_the_least_distance_over_all_rotations():
    student, teacher = unit(1, 30, 4), unit(1, 30, 4, seed=1)
    u, _, v = torch.linalg.svd(student[0].T @ teacher[0])
    best = (student[0] @ u @ v - teacher[0]).square().sum() / 30
    assert float(Procrustes()(lesson(repeated(student), teacher))) == pytest.approx(float(best), rel=1e-5)
    for seed in range(20):
        turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(seed)))[0]
        assert float((student[0] @ turn - teacher[0]).square().sum() / 30) >= float(best) - 1e-6


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: type(loss).__name__)
def test_the_gradient_leads_to_the_teacher(loss):
    teacher = unit(1, 24, 8)
    free = torch.nn.Parameter(repeated(unit(1, 24, 8, seed=1)))
    optimizer = torch.optim.Adam([free], lr=0.05)
    values = []
    for _ in range(150):
        value = loss(lesson(F.normalize(free, dim=-1), teacher))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.1 * values[0]
    student = F.normalize(free.detach(), dim=-1)[0, 0]
    error = (student @ student.T - teacher[0] @ teacher[0].T).abs().mean()
    assert float(error) < 0.15


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: type(loss).__name__)
def test_points_that_no_frame_sees_change_nothing_and_have_no_gradient(loss):
    teacher, student = unit(1, 9, 6), unit(1, 2, 9, 6, seed=1)
    seen = torch.arange(9).lt(6).expand(1, 2, 9)
    cut = loss(lesson(student[:, :, :6], teacher[:, :6]))
    student.requires_grad_()
    whole = loss(lesson(student, teacher, seen))
    whole.backward()
    assert torch.allclose(whole, cut, atol=1e-6)
    assert bool((student.grad[:, :, 6:] == 0).all()) and bool((student.grad[:, :, :6] != 0).any())
    nothing = loss(lesson(student, teacher, torch.zeros(1, 2, 9, dtype=torch.bool)))
    assert float(nothing.detach()) == 0


def test_losses_have_their_weights_and_options():
    config = DescriptorConfig(
        losses=(("contrast", 1.0), ("similarity", 0.5)),
        options=(("similarity.inverse_temperature", 10.0),),
        inverse_temperature=7.0,
    )
    (first, contrast, one), (second, similarity, half) = build_losses(config)
    assert (first, one, second, half) == ("contrast", 1.0, "similarity", 0.5)
    assert contrast.inverse_temperature == 7 and similarity.inverse_temperature == 10


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"losses": ()}, "at least one"),
        ({"losses": (("cosine", 1.0), ("cosine", 2.0))}, "none twice"),
        ({"losses": (("cosine", -1.0),)}, "weight of cosine"),
        ({"losses": (("cosin", 1.0),)}, "unknown loss 'cosin'; known are contrast, cosine"),
        ({"losses": (("json:dumps", 1.0),)}, "no loss"),
        ({"options": (("similarity.inverse_temperature", 1.0),)}, "is of no loss that is used; these are contrast"),
        ({"losses": (("cosine", 1.0),), "options": (("cosine.scale", 1.0),)}, "no parameter 'scale'"),
        (
            {"losses": (("similarity", 1.0),), "options": (("similarity.inverse_temperature", -1.0),)},
            "must be positive",
        ),
        ({"points_per_frame": -1}, "points_per_frame"),
    ],
)
def test_bad_losses_are_refused(options, reason):
    with pytest.raises(ConfigError, match=reason):
        build_losses(DescriptorConfig(**options))
