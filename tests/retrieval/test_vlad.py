"""One descriptor per image, made of its local ones."""

import pytest
import torch
from torch.nn.functional import normalize

from traqpoint.retrieval.vlad import WORDS, Vocabulary, learn_projection, learn_vocabulary

pytestmark = pytest.mark.usefixtures("device")


def around(centres, count, spread, seed):
    """Unit vectors near each of the centres."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(centres), count, centres.shape[1], generator=generator).to(centres)
    return normalize((centres.unsqueeze(1) + spread * noise).flatten(0, 1), dim=1)


def test_a_descriptor_is_the_sum_of_residuals_by_hand():
    """Two far words, one descriptor near each: the softmax is 0 or 1, and what is left is the two residuals."""
    words = torch.eye(2, 3)
    local = normalize(torch.tensor([[1.0, 0, 0.1], [1.0, 0.05, 0], [0, 1.0, 0.2]]), dim=1)
    first = normalize(local[0] + local[1] - 2 * words[0], dim=0)
    second = normalize(local[2] - words[1], dim=0)
    expected = torch.cat([first, second]) / 2**0.5
    assert torch.allclose(Vocabulary(words).describe(local), expected, atol=1e-5)


def test_the_order_of_keypoints_does_not_matter_and_no_keypoints_are_zeros():
    local, vocabulary = around(torch.eye(4, 8), 10, 0.2, 0), Vocabulary(torch.eye(4, 8))
    shuffled = local[torch.randperm(len(local), device="cpu")]
    assert torch.allclose(vocabulary.describe(local), vocabulary.describe(shuffled), atol=1e-5)
    assert not vocabulary.describe(local[:0]).any()


def test_words_are_found_again_and_repeat_with_the_seed():
    """More places than words leave every word on one of them; fewer descriptors than words are words themselves."""
    centres = torch.eye(200)
    words = learn_vocabulary(around(centres, 20, 0.005, 1)).words
    assert words.shape == (WORDS, 200) and torch.allclose(words.norm(dim=1), torch.ones(WORDS), atol=1e-5)
    again = learn_vocabulary(around(centres, 20, 0.005, 1)).words
    assert torch.equal(words, again) and not torch.equal(
        words, learn_vocabulary(around(centres, 20, 0.005, 1), 1).words
    )
    assert learn_vocabulary(torch.eye(3)).words.shape == (3, 3)


def test_a_projection_of_few_images_keeps_their_distances():
    """Four images span three dimensions: nothing is lost but what they have in common."""
    vlads = normalize(torch.rand(4, 50), dim=1)
    projection = learn_projection(vlads)
    centred = normalize(vlads - vlads.mean(0), dim=1)
    found = projection(vlads)
    assert found.shape[1] == 3 and torch.allclose(found @ found.T, centred @ centred.T, atol=1e-4)
    assert not projection(torch.zeros(1, 50)).any()


def test_one_image_or_equal_ones_have_a_descriptor_too():
    assert learn_projection(torch.ones(1, 8) / 8**0.5)(torch.ones(1, 8)).isfinite().all()
    assert learn_projection(torch.ones(3, 8) / 8**0.5)(torch.ones(3, 8)).isfinite().all()
