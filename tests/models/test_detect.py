import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from traqpoint.models.detect import detect, maxima

pytestmark = pytest.mark.usefixtures("device")


def blob(x, y, width=24, height=20, sigma=2.0, height_value=1.0):
    """Logits (1, 1, H, W): a Gaussian whose centre is at pixel coordinates (x, y), first pixel's centre at 0.5."""
    xs = torch.arange(width) + 0.5
    ys = torch.arange(height) + 0.5
    return (height_value * torch.exp(-((xs - x) ** 2 + (ys[:, None] - y) ** 2) / (2 * sigma**2)))[None, None]


@settings(deadline=None, max_examples=60)
@given(x=st.floats(6, 18), y=st.floats(6, 14), top_k=st.sampled_from([1, 5, 1000]))
def test_a_blob_is_one_keypoint_at_its_centre_at_any_top_k(x, y, top_k):
    (found,) = detect(blob(x, y), top_k)
    assert len(found.xy) == 1
    assert (found.xy[0] - torch.tensor([x, y])).norm() < 0.05


def test_a_blob_between_two_pixels_is_not_found_twice():
    (found,) = detect(blob(12.0, 10.0), 100)  # four pixels share the maximum
    assert len(found.xy) == 1
    assert (found.xy[0] - torch.tensor([12.0, 10.0])).abs().max() < 0.76


def test_a_flat_map_has_no_keypoints():
    (found,) = detect(torch.zeros(1, 1, 32, 32), 100)
    assert found.xy.shape == (0, 2) and found.scores.shape == (0,)


def test_a_peak_below_the_prominence_is_no_keypoint():
    logits = blob(6.5, 6.5) + 0.1 * blob(18.5, 14.5)
    assert len(detect(logits, 10)[0].xy) == 2
    assert len(detect(logits, 10, prominence=0.2)[0].xy) == 1


def test_what_nms_removed_stays_removed_when_there_are_few_maxima():
    (found,) = detect(blob(8.3, 8.2) + 0.9 * blob(10.4, 8.2), 50, nms_radius=4)
    assert len(found.xy) == 1


def test_keypoints_are_at_least_the_radius_apart():
    torch.manual_seed(0)
    _, y, x = maxima(torch.rand(1, 1, 40, 40), 3)
    mask = torch.stack([y, x], dim=-1)
    gaps = (mask[:, None] - mask[None]).abs().amax(-1)
    gaps.fill_diagonal_(99)
    assert gaps.min() > 3


def test_nms_equals_its_definition_by_brute_force():
    torch.manual_seed(0)
    logits = torch.randint(0, 6, (1, 1, 12, 13)).float()  # many ties
    mask = torch.zeros(12, 13, dtype=torch.bool)
    _, rows, columns = maxima(logits, 2)
    mask[rows, columns] = True
    for y in range(12):
        for x in range(13):
            window = logits[0, 0, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
            assert mask[y, x] <= (logits[0, 0, y, x] == window.max())


def test_keypoints_come_best_first_and_top_k_keeps_the_best():
    logits = blob(5, 5) + 2 * blob(18, 5) + 3 * blob(12, 15)
    (all_found,) = detect(logits, 10)
    (best,) = detect(logits, 1)
    assert (all_found.scores.diff() <= 0).all() and len(all_found.scores) == 3
    assert torch.equal(best.xy, all_found.xy[:1])


def test_keypoints_lie_in_the_valid_area_only():
    valid = torch.zeros(1, 20, 24, dtype=torch.bool)
    valid[:, :10] = True
    (found,) = detect(blob(6, 5) + blob(18, 15), 10, valid=valid)
    assert len(found.xy) == 1 and found.xy[0, 1] < 10


def test_the_threshold_is_a_probability():
    logits = 4 * blob(6.5, 6.5) - 2  # sigmoid of the peak: 0.88
    assert len(detect(logits, 10, threshold=0.85)[0].xy) == 1
    assert len(detect(logits, 10, threshold=0.9)[0].xy) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_of_any_precision_give_float32_keypoints(dtype):
    (found,) = detect(blob(6.5, 6.5).to(dtype), 5)
    assert found.xy.dtype == found.scores.dtype == torch.float32
