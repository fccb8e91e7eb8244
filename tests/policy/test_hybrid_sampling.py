import pytest
import torch
from random_inputs import generator

from traqpoint.policy.distribution import restrict
from traqpoint.policy.sampling import sample_cells, sample_hybrid, sample_image

pytestmark = pytest.mark.usefixtures("device")


def test_no_pixel_is_drawn_twice():
    logits = torch.randn(4, 12, 12) * 4
    for seed in range(20):
        index = sample_hybrid(logits, 4, 60, generator(seed)).index
        assert all(len(row.unique()) == index.shape[1] for row in index)


def test_each_cell_gives_one_sample_of_its_own():
    samples = sample_hybrid(torch.zeros(1, 8, 8), 4, 0, generator())
    cells = (samples.xy(8) / 4).floor()[0].tolist()
    assert cells == [[0, 0], [1, 0], [0, 1], [1, 1]]


def test_cell_samples_follow_the_cell_softmax_and_know_its_log_probability():
    logits = torch.tensor([[[0.0, 1.0], [2.0, -1.0]]])
    counts = torch.zeros(4)
    for seed in range(2000):
        index, log_prob, _ = sample_cells(logits, 2, generator(seed))
        counts[index[0, 0]] += 1
        assert torch.allclose(log_prob[0, 0], logits.flatten().log_softmax(0)[index[0, 0]])
    expected = logits.flatten().softmax(0)
    # Four standard deviations of a binomial share.
    assert ((counts / 2000 - expected).abs() < 4 * (expected * (1 - expected) / 2000).sqrt()).all()


def test_log_probabilities_of_draws_without_replacement_are_conditional_on_what_was_left():
    logits = torch.tensor([[[0.3, 1.0], [2.0, -1.0]]])
    index, log_prob, _ = sample_image(logits, 3, generator())
    left = list(range(4))
    for k in range(3):
        conditional = logits.flatten()[left].log_softmax(0)
        assert torch.allclose(log_prob[0, k], conditional[left.index(int(index[0, k]))], atol=1e-5)
        left.remove(int(index[0, k]))


def test_impossible_pixels_are_never_reported_as_possible():
    support = torch.zeros(1, 8, 8, dtype=torch.bool)
    support[0, :4, :4] = True
    samples = sample_hybrid(restrict(torch.randn(1, 8, 8), support), 4, 20, generator())
    rows, columns = samples.index // 8, samples.index % 8
    inside = (rows < 4) & (columns < 4)
    assert (samples.possible <= inside).all()
    assert samples.possible.sum() == 16  # the cell's own sample, and all that was left of it


def test_a_cell_with_nothing_to_draw_takes_no_pixel_from_the_others():
    # The grid starts so that some cells lie outside the image; only the first pixel is possible.
    support = torch.zeros(1, 4, 4, dtype=torch.bool)
    support[0, 0, 0] = True
    index, _, possible = sample_image(
        restrict(torch.zeros(1, 4, 4), support), 1, generator(), taken=torch.tensor([[-1]])
    )
    assert index.item() == 0 and possible.item()


def test_the_same_seed_draws_the_same_samples():
    logits = torch.randn(2, 8, 8)
    a, b = sample_hybrid(logits, 4, 8, generator(3)), sample_hybrid(logits, 4, 8, generator(3))
    assert torch.equal(a.index, b.index)
