import pytest
import torch

from traqpoint.data.augment import photometric


def images(n=4):
    return torch.rand(n, 3, 40, 50, generator=torch.Generator().manual_seed(0))


def test_strength_zero_changes_nothing():
    assert torch.equal(photometric(images(), torch.Generator().manual_seed(1), 0.0), images())


@pytest.mark.parametrize("strength", [0.3, 1.0, 2.0])
def test_the_result_is_an_image_of_the_same_shape_and_the_input_is_untouched(strength):
    before = images(16)
    out = photometric(before, torch.Generator().manual_seed(1), strength)
    assert out.shape == before.shape and out.dtype == torch.float32
    assert out.isfinite().all() and out.min() >= 0 and out.max() <= 1
    assert torch.equal(before, images(16))
    assert ((out - before).abs().mean((1, 2, 3)) > 0.005).all()


def test_a_seed_repeats_and_each_image_has_its_own_draw():
    a, b = (photometric(images(1).expand(6, -1, -1, -1), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(a, b)
    assert len({round(float(m), 5) for m in a.mean((1, 2, 3))}) == 6


def test_what_is_bright_stays_brighter_than_what_is_dark():
    half = torch.cat([torch.full((30, 3, 40, 20), 0.25), torch.full((30, 3, 40, 20), 0.6)], dim=-1)
    out = photometric(half, torch.Generator().manual_seed(4))
    assert (out[..., 23:].mean((1, 2, 3)) > out[..., :17].mean((1, 2, 3))).all()


def test_no_images_is_no_error():
    assert photometric(images()[:0], torch.Generator()).shape == (0, 3, 40, 50)
