import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from traqpoint.policy.distribution import (
    IMPOSSIBLE,
    entropy,
    from_cells,
    log_probabilities,
    restrict,
    supported,
    to_cells,
)

pytestmark = pytest.mark.usefixtures("device")


@settings(deadline=None, max_examples=30)
@given(
    height=st.integers(1, 23),
    width=st.integers(1, 23),
    cell=st.integers(2, 9),
    dy=st.integers(0, 8),
    dx=st.integers(0, 8),
)
def test_cutting_into_cells_and_back_is_the_identity(height, width, cell, dy, dx):
    shift = (dy % cell, dx % cell)
    x = torch.arange(2 * height * width, dtype=torch.float32).reshape(2, height, width)
    cells = to_cells(x, cell, -1.0, shift)
    assert torch.equal(from_cells(cells, cell, (height, width), shift), x)
    assert (cells >= 0).sum() == x.numel()  # every pixel is in exactly one cell


def test_a_cell_holds_a_square_of_the_image():
    x = torch.arange(16.0).reshape(1, 4, 4)
    assert to_cells(x, 2, 0.0)[0, 1].tolist() == [2, 3, 6, 7]


def test_pixels_outside_the_support_have_probability_zero_and_no_gradient():
    logits = torch.randn(1, 2, 2, requires_grad=True)
    support = torch.tensor([[[True, False], [True, True]]])
    p = log_probabilities(restrict(logits, support).flatten(1)).exp()
    assert p[0, 1] == 0
    assert p.sum().item() == pytest.approx(1)
    p.square().sum().backward()
    assert logits.grad[0, 0, 1] == 0
    assert torch.isfinite(logits.grad).all()


def test_entropy_of_the_uniform_policy_is_the_log_of_its_support():
    logits = torch.zeros(1, 10)
    logits[0, 4:] = IMPOSSIBLE
    assert entropy(logits).item() == pytest.approx(math.log(4))


def test_a_cell_without_any_possible_pixel_is_unsupported():
    assert supported(torch.tensor([[0.0, IMPOSSIBLE], [IMPOSSIBLE, IMPOSSIBLE]])).tolist() == [True, False]
