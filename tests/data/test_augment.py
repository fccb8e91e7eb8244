import numpy as np
import pytest
import torch

from traqpoint.data.augment import expose, photometric

pytestmark = pytest.mark.usefixtures("device")


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


def sequences(b=6, t=5):
    return torch.rand(b, t, 3, 20, 24, generator=torch.Generator().manual_seed(2))


def test_no_stops_change_nothing_and_some_stay_in_range():
    assert torch.equal(expose(sequences(), torch.Generator().manual_seed(1), 0.0), sequences())
    out = expose(sequences(), torch.Generator().manual_seed(1), 2.0)
    assert out.shape == sequences().shape and out.min() >= 0 and out.max() <= 1
    assert expose(sequences(0), torch.Generator(), 1.0).shape == (0, 5, 3, 20, 24)


def test_exposure_differs_from_frame_to_frame_and_cuts_off_what_is_too_bright():
    ramp = torch.linspace(0, 1, 400).reshape(1, 1, 1, 20, 20).expand(8, 6, 3, 20, 20)
    out = expose(ramp, torch.Generator().manual_seed(1), 1.0).flatten(2)
    assert (out.flatten(0, 1).mean(1).diff().abs() > 1e-4).all()
    full = (out > 1 - 1e-6).float().mean(2)
    # One stop doubles the light: colours above 0.5 ** (1 / 2.2) = 0.73 are full at most.
    assert full.max() < 0.28 and full.max() > 0.15 and (full <= 1 / 400 + 1e-6).float().mean() > 0.3
    assert (out[..., :400].diff(dim=-1) >= -1e-6).all()


def test_all_frames_of_a_sequence_have_one_response_curve():
    ramp = torch.linspace(0, 0.7, 400).reshape(1, 1, 1, 20, 20).expand(5, 4, 3, 20, 20)
    out = expose(ramp, torch.Generator().manual_seed(3), 0.5).flatten(2)[..., :400].double().cpu()
    # A gain only stretches the axis, so that frames of one sequence agree where the same light falls.
    for sequence in out:
        slope = sequence[:, 4] / sequence[:, 4].amax()
        gain = slope / slope[0]
        x = torch.linspace(0, 0.7, 400).double().cpu()
        first = np.interp(x * float(gain[1]), x, sequence[0])
        usable = (x * float(gain[1]) < 0.65) & (sequence[1] < 0.999)
        assert np.abs(first - sequence[1].numpy())[usable.numpy()].max() < 0.02
